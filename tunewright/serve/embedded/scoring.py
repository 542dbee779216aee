"""Label likelihoods: concurrent calls for one release become one pass, a bounded number of tokens at a time.

{"reviews@3": [(texts of call 1, future), (texts of call 2, future)]}  ->  score_labels(texts of both)  ->  each its own lines
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tunewright.models.score import score_labels
from tunewright.models.tree import PrefixStates, prefix_states
from tunewright.serve.embedded.served import Served
from tunewright.serve.engine import Scores


@dataclass
class Call:
    """Texts to score for one release; `found` collects their lines."""

    served: Served
    texts: tuple[str, ...]
    tell: Callable[[Scores | Exception], None]
    found: list[np.ndarray] = field(default_factory=list)
    cancelled: bool = False


class Scorer:
    """Calls that wait for their scores. All methods run in the worker thread."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.waiting: deque[Call] = deque()
        self._prefixes: dict[str, PrefixStates | None] = {}

    def add(self, call: Call) -> None:
        self.waiting.append(call)

    def fail(self, error: Exception) -> None:
        for call in self.waiting:
            call.tell(error)
        self.waiting.clear()

    def forget(self, mark: str) -> None:
        self._prefixes.pop(mark, None)

    def turn(self, most: int | None = None) -> bool:
        """Score up to `most` texts of the release that has waited longest. False when nobody waits."""
        self.waiting = deque(call for call in self.waiting if not call.cancelled)
        if not self.waiting:
            return False
        served, most = self.waiting[0].served, most or self.rows
        calls, texts = list[tuple[Call, int]](), list[str]()
        for call in self.waiting:
            if call.served is served and len(texts) < most:
                some = call.texts[len(call.found) :][: most - len(texts)]
                calls.append((call, len(some)))
                texts += some
        try:
            lines = self._score(served, texts)
        except Exception as error:
            for call, _ in calls:
                self._done(call, error)
            return True
        for call, size in calls:
            call.found += lines[:size]
            lines = lines[size:]
            if len(call.found) == len(call.texts):
                self._done(call, self._result(call))
        return True

    def _score(self, served: Served, texts: Sequence[str]) -> list[np.ndarray]:
        assert served.format is not None
        weights = served.weights
        weights.adapters.use([served.adapter], weights.place.device)
        model = weights.model if served.behind is None else served.behind
        with torch.inference_mode(), weights.place.device:
            if served.mark not in self._prefixes:
                self._prefixes[served.mark] = prefix_states(model, served.format.prefix)
            return list(score_labels(model, served.format, texts, prefix=self._prefixes[served.mark]).log_likelihood)

    def _result(self, call: Call) -> Scores:
        fmt = call.served.format
        assert fmt is not None
        encoded = fmt.encode(call.texts)
        sizes = tuple(len(encoded.prefix) + len(body) for body in encoded.bodies)
        return Scores(np.array(call.found).reshape(len(call.texts), len(fmt.labels)), sizes, tuple(encoded.truncated))

    def _done(self, call: Call, result: Scores | Exception) -> None:
        self.waiting.remove(call)
        call.tell(result)
