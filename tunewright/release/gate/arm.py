"""What the gate asks of an artefact, wherever it runs. One implementation for libraries in this process (`plain.py`), one for
endpoints over HTTP (`endpoint.py`), one for llama.cpp (`llama.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tunewright.core.errors import RunError
from tunewright.core.score import Floats


class ParityError(RunError):
    """An artefact does not answer as the release does. `arm` holds what was measured up to then."""

    def __init__(self, message: str, arm: dict[str, Any]) -> None:
        super().__init__(message)
        self.arm = arm


class Arm(Protocol):
    """An artefact that answers. `normalised`: its scores are log-probabilities over the labels, so only their differences count."""

    name: str
    artefact: str  # where it is, when the name does not say
    normalised: bool
    reads_controls: bool  # control tokens in a text become control tokens, as in every server that takes whole chats as text

    def tokens(self, texts: Sequence[str]) -> list[list[int]] | list[int]:
        """Token ids of each prompt as the artefact's own tokenizer and template make them, or only how many where it tells no more."""

    def greedy(self, texts: Sequence[str], tokens: int) -> list[str]:
        """The likeliest answer to each text, token by token, at most `tokens` of them."""

    def scores(self, texts: Sequence[str]) -> Floats:
        """Log-likelihood (n, c) of each label as the answer to each text."""

    def close(self) -> None:
        """Free what it holds."""
