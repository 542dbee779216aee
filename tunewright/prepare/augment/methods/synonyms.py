"""Another word for some of the words, from a small table of unambiguous English synonyms (WordNet; see data/synonyms.LICENSE)."""

from __future__ import annotations

import random
import re
from functools import cache

import polars as pl
from pydantic import Field

from tunewright.core.parts import Augmenter, Look
from tunewright.prepare.augment.accept import DATA
from tunewright.prepare.augment.methods._writing import each


class Synonyms(Augmenter):
    """English words replaced by others that mean the same in their commonest sense; texts without such words give nothing new."""

    rate: float = Field(0.3, gt=0, le=1, description="share of the words that have a synonym which are replaced; at least one")

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        return each(rows, number, seed, self._other_words)

    def _other_words(self, text: str, chance: random.Random) -> str:
        known = [found for found in re.finditer(r"[A-Za-z]+", text) if found[0].lower() in table()]
        chosen = chance.sample(known, min(len(known), max(1, round(self.rate * len(known))))) if known else []
        for found in sorted(chosen, key=lambda one: -one.start()):
            word = chance.choice(table()[found[0].lower()])
            text = text[: found.start()] + _cased(word, found[0]) + text[found.end() :]
        return text


@cache
def table() -> dict[str, list[str]]:
    """Each word with its synonyms."""
    lines = (DATA / "synonyms.tsv").read_text(encoding="utf-8").splitlines()
    return {word: others.split() for word, others in (line.split("\t") for line in lines)}


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
