"""Pieces of one answer on their way to the event loop: the first and the last go at once, those between at most every so often.

Each piece that is streamed costs the event loop about as much of a core as a small model's step costs a row, so with many streams
telling every token slows them all. Pieces that wait are told as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tunewright.serve.engine import Piece


class Teller:
    """Called in the worker thread with pieces or an error; `tell` gets them whole or joined. All answers share the same beats."""

    def __init__(self, tell: Callable[[Piece | Exception], None], every: float) -> None:
        self._tell, self._every = tell, every
        self._held: list[Piece] = []
        self._beat = -1

    def __call__(self, piece: Piece | Exception) -> None:
        if isinstance(piece, Exception):
            self._tell(piece)
            return
        self._held.append(piece)
        beat = int(time.monotonic() / self._every) if self._every else self._beat + 1
        if piece.finish is None and beat == self._beat:
            return
        self._beat, held = beat, self._held
        self._held = []
        self._tell(joined(held))


def joined(pieces: list[Piece]) -> Piece:
    """One piece that says what all of them say."""
    tokens = tuple(token for piece in pieces for token in piece.tokens)
    return Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish, pieces[-1].usage)
