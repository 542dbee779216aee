"""Bounds on how much at once: the queue in front of the engine, and the rate of each key."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from tunewright.serve.errors import ApiError, busy


class Ticket:
    """A place in the queue: waiting until `started`, then running until `close`."""

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate
        self._waits = True
        gate.waiting += 1

    def started(self) -> None:
        """The first token is there: the place in the queue is free again."""
        if self._gate is not None and self._waits:
            self._waits = False
            self._gate.waiting -= 1
            self._gate.running += 1

    def close(self) -> None:
        if self._gate is None:
            return
        if self._waits:
            self._gate.waiting -= 1
        else:
            self._gate.running -= 1
        self._gate = None


class Gate:
    """The bounded queue. A request waits until its first token; one more than `size` is refused, not made to wait."""

    def __init__(self, size: int) -> None:
        self.size, self.waiting, self.running = size, 0, 0
        self._seconds: deque[float] = deque(maxlen=64)

    @property
    def full(self) -> bool:
        return self.waiting >= self.size

    def enter(self, number: int = 1) -> list[Ticket]:
        """Places for `number` answers, all or none; an empty queue takes any number. Raises `ApiError` 429."""
        if self.waiting and self.waiting + number > self.size:
            raise busy(
                f"The server is busy: {self.waiting} requests wait and {self.size} may. Try again after the time in Retry-After.",
                "queue_full",
                min(60.0, self.expected() * self.waiting / max(1, self.running)),
            )
        return [Ticket(self) for _ in range(number)]

    def took(self, seconds: float) -> None:
        """An answer took so long; what Retry-After says is estimated from the last ones."""
        self._seconds.append(seconds)

    def expected(self) -> float:
        return sum(self._seconds) / len(self._seconds) if self._seconds else 1.0


class Rates:
    """A token bucket for each key: `per_minute` requests a minute on average, those of ten seconds at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, per_minute: int | None) -> None:
        """Count one request of `key`. Raises `ApiError` 429 when its bucket is empty."""
        if per_minute is None:
            return
        room, rate, now = burst(per_minute), per_minute / 60, self._clock()
        left, since = self._buckets.get(key, (room, now))
        left = min(room, left + (now - since) * rate)
        if left < 1:
            self._buckets[key] = left, now
            raise busy(f"This key may make {per_minute} requests a minute.", "rate_limit_exceeded", (1 - left) / rate)
        self._buckets[key] = left - 1, now

    def forget(self, known: set[str]) -> None:
        """Drop the buckets of keys that are no more."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key in known}


def burst(per_minute: int) -> float:
    """How many requests a key may make at once after a pause."""
    return max(1.0, per_minute / 6)


def too_many(what: str, number: int, most: int, param: str) -> ApiError:
    """A list in the body is too long."""
    return ApiError(400, f"{param}: at most {most:,} {what} in one request, but got {number:,}. Send several requests.", "too_many", param)
