"""Typing errors: neighbouring keys, letters left out, doubled or swapped, lost or added punctuation and spaces, wrong case."""

from __future__ import annotations

import random
from typing import Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Augmenter, Look
from tunewright.prepare.augment.methods._writing import each

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # a QWERTY keyboard, each row half a key to the right
NEAR = {
    key: "".join(
        other
        for y, line in enumerate(ROWS)
        for x, other in enumerate(line)
        if other != key and abs(y - row) <= 1 and abs((x + 0.5 * y) - (column + 0.5 * row)) <= 1
    )
    for row, keys in enumerate(ROWS)
    for column, key in enumerate(keys)
}
Slip = Literal["typos", "case", "punctuation", "white_space"]


class Noise(Augmenter):
    """Typing errors as people make them: neighbouring keys, letters left out, doubled or swapped, case, punctuation, spaces."""

    rate: float = Field(0.03, gt=0, le=0.5, description="share of the characters with an error; at least one a text")
    kinds: list[Slip] = Field(["typos", "case", "punctuation", "white_space"], min_length=1, description="what goes wrong")

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        return each(rows, number, seed, self._slip)

    def _slip(self, text: str, chance: random.Random) -> str:
        letters = list(text)
        spots = {
            "typos": [at for at, letter in enumerate(letters) if letter.isalpha()],
            "case": [at for at, letter in enumerate(letters) if letter.isalpha() and letter.swapcase() != letter],
            "punctuation": [at for at, letter in enumerate(letters) if letter in ".,;:!?'\""],
            "white_space": [at for at, letter in enumerate(letters) if letter == " "],
        }
        kinds = [kind for kind in self.kinds if spots[kind]]
        for _ in range(max(1, round(self.rate * len(letters))) if kinds else 0):
            kind = chance.choices(kinds, [4 if kind == "typos" else 1 for kind in kinds])[0]
            _spoil(letters, kind, chance.choice(spots[kind]), chance)
        return "".join(letters)


def _spoil(letters: list[str], kind: str, at: int, chance: random.Random) -> None:
    """One error at a place; a place that an earlier error emptied stays empty. Places keep their numbers."""
    letter = letters[at]
    if kind == "case":
        letters[at] = letter.swapcase()
    elif kind in ("punctuation", "white_space"):
        letters[at] = chance.choice(("", letter * 2)) if letter else ""
    elif letter:
        slip = chance.choice(("near", "near", "drop", "double", "swap"))
        keys = NEAR.get(letter[0].lower(), "")
        if slip == "near" and keys:
            key = chance.choice(keys)
            letters[at] = key.upper() if letter.isupper() else key
        elif slip == "swap" and at + 1 < len(letters):
            letters[at], letters[at + 1] = letters[at + 1], letter
        else:
            letters[at] = letter * 2 if slip == "double" else ""
