"""Streamed pieces: the first and the last at once, those between joined, nothing lost."""

from __future__ import annotations

import pytest

from tunewright.serve.embedded.teller import Teller
from tunewright.serve.engine import Piece, TokenScore, Usage


def pieces() -> list[Piece]:
    between = [Piece(letter, (TokenScore(letter, place, -0.5),)) for place, letter in enumerate("abcd")]
    return [*between, Piece("e", (), "stop", Usage(3, 5))]


@pytest.mark.parametrize(("every", "told"), [(3600.0, 2), (0.0, 5)])
def test_pieces_are_joined_and_none_is_lost(every: float, told: int):
    got: list[Piece | Exception] = []
    teller = Teller(got.append, every)
    for piece in pieces():
        teller(piece)
    assert len(got) == told
    assert all(isinstance(one, Piece) for one in got)
    assert "".join(one.text for one in got if isinstance(one, Piece)) == "abcde"
    assert [token.text for one in got if isinstance(one, Piece) for token in one.tokens] == list("abcd")
    assert got[0] == pieces()[0]
    assert isinstance(got[-1], Piece)
    assert (got[-1].finish, got[-1].usage) == ("stop", Usage(3, 5))


def test_an_error_does_not_wait():
    got: list[Piece | Exception] = []
    Teller(got.append, 3600.0)(error := ValueError("no"))
    assert got == [error]
