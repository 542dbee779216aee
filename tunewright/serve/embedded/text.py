"""Tokens to text, piece by piece: a character is never split, and no part of a stop string ever gets out.

Bytes of a character may be spread over several tokens ("🙂" has four): text is held until they are all there. Text that may be the
beginning of a stop string is held until it is sure that it is not.
"""

from __future__ import annotations

from typing import Any

from tunewright.serve.engine import TokenScore

UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Text:
    """The text of one answer. `add` takes its tokens one by one, `end` gives what is still held."""

    def __init__(self, tokenizer: Any, stops: tuple[str, ...]) -> None:
        self._decode = decoder(tokenizer)
        self._stops = tuple(stop for stop in stops if stop)
        self._ids: list[int] = []
        self._start = self._read = 0  # tokens from _start are decoded together; those before _read have been told
        self._told = ""  # what tokens _start.._read say
        self._held = ""
        self._waiting: list[tuple[int, TokenScore]] = []  # place of the token's first character after all text let out so far
        self.stopped = False

    def add(self, token: int, score: TokenScore | None = None) -> tuple[str, tuple[TokenScore, ...]]:
        """What can be let out now that `token` is there. `stopped` is true once a stop string was found; nothing follows it."""
        self._ids.append(token)
        if score is not None:
            self._waiting.append((len(self._held), score))
        whole = self._decode(self._ids[self._start :])
        if whole.endswith(UNFINISHED) and len(self._ids) - self._read < 8:
            return "", ()
        new = whole[len(self._told) :]
        self._start, self._read = self._read, len(self._ids)
        self._told = self._decode(self._ids[self._start :])
        return self._let_out(new)

    def end(self) -> tuple[str, tuple[TokenScore, ...]]:
        """The rest, when the answer ends without a stop string."""
        rest = self._decode(self._ids[self._start :])[len(self._told) :] if self._read < len(self._ids) else ""
        self._read = len(self._ids)
        text, scores = self._let_out(rest)
        if self.stopped:
            return text, scores
        scores += tuple(score for _, score in self._waiting)
        text, self._held, self._waiting = text + self._held, "", []
        return text, scores

    def _let_out(self, new: str) -> tuple[str, tuple[TokenScore, ...]]:
        self._held += new
        found = [(place + len(stop), place) for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:  # the one that was complete first counts
            self.stopped, out = True, self._held[: min(found)[1]]
            scores = tuple(score for place, score in self._waiting if place < len(out))
            self._held, self._waiting = "", []
            return out, scores
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        size = len(self._held) - keep
        out, self._held = self._held[:size], self._held[size:]
        scores = tuple(score for place, score in self._waiting if place < size or not self._held)
        self._waiting = [(place - size, score) for place, score in self._waiting if place >= size and self._held]
        return out, scores


def decoder(tokenizer: Any) -> Any:
    """A function from ids to text without special tokens; the fast tokenizer's own core where there is one."""
    if getattr(tokenizer, "is_fast", False):
        core = tokenizer.backend_tokenizer
        return lambda ids: core.decode(ids, skip_special_tokens=True)
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with, `stop` itself left out."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
