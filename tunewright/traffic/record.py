"""The nouns of the traffic store: what is kept of a request (the log contract), and of what people said of its answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Side = Literal["champion", "challenger", "shadow", "direct"]  # direct: the caller named the version


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `id` is what the caller got, so that feedback finds it; times are UTC, durations seconds."""

    id: str  # "chatcmpl-...", "cmpl-...", "cls-..."
    time: datetime
    endpoint: str  # "chat", "completions", "classify"
    model: str  # as asked for
    version: str  # as answered: "reviews@3"
    release: str  # fingerprint of the release's weights (manifest)
    base: str  # fingerprint of the base model
    side: Side
    status: int  # HTTP
    prompt: str | None = None  # what the store keeps of it is TrafficSettings.keep
    answer: str | None = None
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0  # from the request's arrival to the answer's end
    queue_seconds: float = 0.0
    first_token_seconds: float | None = None
    finish: str | None = None  # "stop", "length", "cancelled", "error"
    mean_logprob: float | None = None
    format_ok: bool | None = None  # None: no format was asked for
    key: str | None = None  # id of the API key, never the key
    caller: str | None = None  # hash of what makes the caller stick to a side
    shadow_of: str | None = None  # id of the request that this one is a copy of
    error: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Feedback:
    """What somebody or something said of an answer. `sampled`: uniform rows may estimate accuracy, targeted ones only train."""

    request_id: str
    kind: Literal["thumb", "answer", "label"]
    value: str  # "up"/"down", the right answer, the right label
    time: datetime  # when it arrived
    by: str = "user"
    event_time: datetime | None = None  # when the truth came about
    sampled: Literal["uniform", "targeted", "volunteered"] = "volunteered"
    approved: bool = False  # by a reviewer: may be trained on
    note: str | None = None
