"""The same text built otherwise: contractions opened or closed, sentences in another order, neutral words around it (English)."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Augmenter, Look
from tunewright.prepare.augment.accept import DATA
from tunewright.prepare.augment.methods._writing import each

Way = Literal["contractions", "order", "frames"]


class Templates(Augmenter):
    """Contractions opened ("don't", "do not") or closed, sentences reordered, a neutral greeting or ending added."""

    ways: list[Way] = Field(["contractions", "order", "frames"], min_length=1, description="tried in a random order until the text changes")

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        return each(rows, number, seed, self._rebuilt)

    def _rebuilt(self, text: str, chance: random.Random) -> str:
        for way in chance.sample(self.ways, len(self.ways)):
            new = {"contractions": _contracted, "order": _reordered, "frames": _framed}[way](text, chance)
            if new != text:
                return new
        return text


def _contracted(text: str, chance: random.Random) -> str:
    """All contractions opened, or else all that can be closed."""
    short = dict(_contractions())
    opened = _replaced(text.replace("’", "'"), short)
    return opened if opened != text.replace("’", "'") else _replaced(text, {other: one for one, other in short.items()})


def _replaced(text: str, pairs: dict[str, str]) -> str:
    pattern = re.compile(rf"(?i)\b(?:{'|'.join(map(re.escape, pairs))})\b")

    def other(found: re.Match[str]) -> str:
        word = pairs[found[0].lower()]
        word = re.sub(r"^i\b", "I", word)
        return word[0].upper() + word[1:] if found[0][0].isupper() else word

    return pattern.sub(other, text)


def _reordered(text: str, chance: random.Random) -> str:
    """Sentences in another order; a text of one sentence stays."""
    sentences = re.findall(r"\S.*?[.!?]+(?=\s|$)|\S.*?$", text, flags=re.DOTALL)
    if len(sentences) < 2 or not sentences[-1].rstrip().endswith((".", "!", "?")):
        return text
    turned = sentences[1:] + sentences[:1] if len(sentences) == 2 else chance.sample(sentences, len(sentences))
    return " ".join(turned)


def _framed(text: str, chance: random.Random) -> str:
    return chance.choice(_frames()).replace("{}", text) if text.strip() else text


@cache
def _contractions() -> list[tuple[str, str]]:
    lines = (DATA / "contractions.tsv").read_text(encoding="utf-8").splitlines()
    return [(short, long) for short, long in (line.split("\t") for line in lines)]


@cache
def _frames() -> list[str]:
    lines = (DATA / "frames.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
