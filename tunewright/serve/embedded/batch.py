"""Continuous batching on one base model: rows join and leave between steps; whoever wants its next token gets it in the next step.

    waiting -> reading (its prompt, in pieces of at most `prefill_tokens` a step) -> decoding (one token a step, in a slot) -> gone

A row that is read takes what the prefix cache knows of its prompt; a row that leaves puts its blocks there. When keys and values
outgrow `max_bytes` the youngest row goes back to waiting and is read again later, from the cache as far as it is there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import torch

from tunewright.serve.embedded.attention import Pass, Piece
from tunewright.serve.embedded.cache import Arena, Buffer, PrefixCache
from tunewright.serve.embedded.sampling import Choice, Chooser, choose, likeliest
from tunewright.serve.embedded.served import Served
from tunewright.serve.embedded.text import Text
from tunewright.serve.embedded.weights import Weights
from tunewright.serve.engine import Finish, TokenScore, Usage
from tunewright.serve.engine import Piece as Told

_numbers = count()
IDLE_FACTOR = 4  # prompts are read in pieces so many times larger while nobody decodes


@dataclass
class Row:
    """One answer under way. `tokens` are the prompt and then the answer; `length` of them have keys and values."""

    served: Served
    tokens: list[int]
    most: int  # tokens of the answer
    chooser: Chooser
    text: Text
    tell: Callable[[Told | Exception], None]
    echo: bool = False
    prompt: int = 0  # its tokens
    length: int = 0
    cached: int = 0
    buffer: Buffer | None = None
    scores: list[Choice] = field(default_factory=list)  # of the echoed prompt
    logprobs: float = 0.0  # sum over the answer's tokens
    arrived: float = field(default_factory=time.monotonic)
    started: float | None = None
    cancelled: bool = False
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        self.prompt = len(self.tokens)

    @property
    def scores_prompt(self) -> bool:
        return self.echo and self.chooser.sampling.logprobs is not None and len(self.scores) + 1 < self.prompt - len(self.served.soft)

    def usage(self) -> Usage:
        said = len(self.tokens) - self.prompt
        waited = (self.started or time.monotonic()) - self.arrived
        mean = self.logprobs / said if said else None
        return Usage(self.prompt - len(self.served.soft), said, self.cached, mean, waited)


class Batch:
    """The rows on one base model. All methods run in the worker thread."""

    def __init__(self, weights: Weights, prefixes: PrefixCache, max_rows: int, max_bytes: int, prefill_tokens: int) -> None:
        self.weights, self.prefixes, self.max_rows, self.prefill_tokens = weights, prefixes, max_rows, prefill_tokens
        self.arena = Arena(weights.shape, max_bytes, max_rows)
        self.waiting: deque[Row] = deque()
        self.reading: list[Row] = []
        self.decoding: list[Row] = []  # row i sits in slot i

    @property
    def rows(self) -> list[Row]:
        return [*self.waiting, *self.reading, *self.decoding]

    @property
    def kv_bytes(self) -> int:
        """In use by rows that decode or are read."""
        return sum(row.length for row in (*self.reading, *self.decoding)) * self.weights.shape.token_bytes

    def add(self, row: Row) -> None:
        self.waiting.append(row)

    @torch.inference_mode()
    def step(self) -> bool:
        """One pass for everybody who is here. False when there was nothing to do."""
        self._sweep()
        self._make_room()
        self._admit()
        pieces = self._pieces()
        if not pieces and not self.decoding:
            return False
        decoding, n = list(self.decoding), len(self.decoding)
        tokens, owners = [row.tokens[row.length] for row in decoding], list(decoding)
        keep = list(range(n))
        for row, piece in pieces:
            start = len(tokens)
            tokens += row.tokens[row.length : row.length + piece.count]
            owners += [row] * piece.count
            keep += range(start, start + piece.count) if row.scores_prompt else [start + piece.count - 1]
        self.weights.adapters.use([row.served.adapter for row in owners], self.weights.place.device)
        where = Pass(self.arena, [row.length for row in decoding], [piece for _, piece in pieces])
        logits = self.weights.run(where, tokens, keep)
        for row in decoding:
            row.length += 1
        ready = [(row, i) for i, row in enumerate(decoding)] + self._read(pieces, logits, n)
        if ready:
            choices = choose(logits[[place for _, place in ready]], [row.chooser for row, _ in ready])
            for (row, _), choice in zip(ready, choices, strict=True):
                self._take(row, choice)
        return True

    def fail(self, error: Exception) -> None:
        """Tell everybody that it went wrong, and begin anew."""
        for row in self.rows:
            row.tell(error)
        self.waiting.clear()
        self.reading, self.decoding = [], []
        self.arena.clear()

    def _sweep(self) -> None:
        for row in [row for row in (*self.reading, *self.decoding) if row.cancelled]:
            self._leave(row)
        if any(row.cancelled for row in self.waiting):
            self.waiting = deque(row for row in self.waiting if not row.cancelled)
        if not self.decoding and not self.reading and not self.waiting and self.arena.slots:
            self.arena.clear()

    def _make_room(self) -> None:
        """Slots for one more token of each row; the youngest rows wait again when they do not fit."""
        if not self.decoding:
            return
        while len(self.decoding) > self.arena.rows_for(max(row.length for row in self.decoding) + 1):
            youngest = max(self.decoding, key=lambda row: row.number)
            self._leave(youngest)
            youngest.length = 0
            self.waiting.appendleft(youngest)
        self.arena.reserve(len(self.decoding), max(row.length for row in self.decoding) + 1)

    def _admit(self) -> None:
        while self.waiting:
            here = [*self.reading, *self.decoding, self.waiting[0]]
            if len(here) > self.arena.rows_for(max(len(row.tokens) for row in here) + 1):
                return
            self.reading.append(self.waiting.popleft())

    def _pieces(self) -> list[tuple[Row, Piece]]:
        """What is read in this step, first come first served."""
        left = self.prefill_tokens if self.decoding else IDLE_FACTOR * self.prefill_tokens
        found = []
        for row in self.reading:
            if left <= 0:
                break
            if row.buffer is None:
                self._begin(row)
            assert row.buffer is not None
            size = min(left, len(row.tokens) - row.length)
            found.append((row, Piece(row.buffer, size)))
            left -= size
        return found

    def _begin(self, row: Row) -> None:
        row.started = row.started or time.monotonic()
        row.buffer = Buffer(self.weights.shape, len(row.tokens))
        if not row.scores_prompt:
            row.length = self.prefixes.take(row.served.mark, row.tokens, row.buffer)
            if len(row.tokens) == row.prompt:
                row.cached = max(0, row.length - len(row.served.soft))

    def _read(self, pieces: list[tuple[Row, Piece]], logits: torch.Tensor, place: int) -> list[tuple[Row, int]]:
        """Count the pieces as read; the rows whose prompt is complete, with the place of their logits."""
        ready = []
        for row, piece in pieces:
            scored = row.scores_prompt
            if scored:
                self._score(row, logits[place : place + piece.count], piece.count)
            place += piece.count if scored else 1
            piece.buffer.length += piece.count
            row.length += piece.count
            if row.length == len(row.tokens):
                self.reading.remove(row)
                if self._seat(row, piece.buffer):
                    ready.append((row, place - 1))
        return ready

    def _seat(self, row: Row, buffer: Buffer) -> bool:
        """Move a row whose prompt was read into a slot. False when it wanted the prompt only."""
        self.prefixes.keep(row.served.mark, row.tokens, lambda start, stop: buffer.data[..., start:stop, :])
        row.buffer = None
        if row.echo and row.length == row.prompt:
            self._tell_prompt(row)
        if row.most == 0:
            row.tell(Told("", (), "length", row.usage()))
            return False
        self.arena.reserve(len(self.decoding) + 1, max(one.length for one in (*self.decoding, row)) + 1)
        self.arena.fill(len(self.decoding), buffer.data[..., : row.length, :])
        self.decoding.append(row)
        return True

    def _score(self, row: Row, logits: torch.Tensor, size: int) -> None:
        """Log-probabilities of the prompt's tokens that follow the places of `logits`."""
        first = max(row.length, len(row.served.soft) - 1 if row.served.soft else 0)
        logits = logits[first - row.length :].float()
        wanted = row.tokens[first + 1 : row.length + size + 1]
        total = logits.logsumexp(-1)
        for i, token in enumerate(wanted):
            top = likeliest(logits[i], total[i], row.chooser.sampling.logprobs)
            row.scores.append(Choice(token, float(logits[i, token] - total[i]), top))

    def _tell_prompt(self, row: Row) -> None:
        ids = row.tokens[len(row.served.soft) : row.prompt]
        text = row.served.tokenizer.decode(ids)
        scores: tuple[TokenScore, ...] = ()
        if row.chooser.sampling.logprobs is not None:
            first = [] if len(row.scores) == len(ids) else [TokenScore(_say(row, ids[0]), ids[0], None)]
            scores = (*first, *(_told(row, choice) for choice in row.scores))
        row.tell(Told(text, scores))

    def _take(self, row: Row, choice: Choice) -> None:
        """Add a token to the answer; tell what can be told; end the answer if this was its end."""
        row.tokens.append(choice.token)
        row.logprobs += choice.logprob
        finish: Finish | None = None
        text, scores = "", tuple[TokenScore, ...]()
        if choice.token in row.served.ends:
            finish = "stop"
        else:
            wanted = row.chooser.sampling.logprobs is not None
            text, scores = row.text.add(choice.token, _told(row, choice) if wanted else None)
            if row.text.stopped or (row.chooser.grammar is not None and row.chooser.grammar.finished):
                finish = "stop"
            elif len(row.tokens) - row.prompt >= row.most:
                finish = "length"
        if finish is None:
            if text or scores:
                row.tell(Told(text, scores))
            return
        if not row.text.stopped:
            rest, more = row.text.end()
            text, scores, finish = text + rest, scores + more, "stop" if row.text.stopped else finish
        row.tell(Told(text, scores, finish, row.usage()))
        self._leave(row)

    def _leave(self, row: Row) -> None:
        """Take a row out of its slot at once; its keys and values stay in the prefix cache."""
        if row in self.reading:
            self.reading.remove(row)
            row.buffer = None
            return
        slot, last = self.decoding.index(row), len(self.decoding) - 1
        self.prefixes.keep(row.served.mark, row.tokens[: row.length], lambda start, stop: self.arena.read(slot, start, stop))
        if slot != last:
            self.arena.move(last, slot, self.decoding[last].length)
            self.decoding[slot] = self.decoding[last]
        self.decoding.pop()


def _say(row: Row, token: int) -> str:
    return str(row.served.tokenizer.decode([token]))


def _told(row: Row, choice: Choice) -> TokenScore:
    return TokenScore(_say(row, choice.token), choice.token, choice.logprob, tuple((_say(row, one), value) for one, value in choice.top))


def waiting(batches: Sequence[Batch]) -> int:
    return sum(len(batch.waiting) for batch in batches)


def running(batches: Sequence[Batch]) -> int:
    return sum(len(batch.reading) + len(batch.decoding) for batch in batches)
