"""The recipe's sections for what comes after a release: `serve`, `monitor`, `retrain`. They travel with it in `recipe.json`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from tunewright.core.plugins import PartSpec
from tunewright.core.settings import Settings
from tunewright.core.urls import masked, masked_service


class TrafficSettings(Settings):
    """What is kept of each request, where, and for how long."""

    url: str = Field("sqlite:///traffic.db", description="sqlite:///FILE or postgresql://...; ${NAME} is taken from the environment")
    keep: Literal["text", "redacted", "hash", "nothing"] = Field(
        "redacted", description="of prompts and answers: as they are, without personal data, only their hash, or not even that"
    )
    retention_days: float | None = Field(90, gt=0, description="older requests are deleted; null keeps them")

    @field_serializer("url")
    def _without_secrets(self, url: str) -> str:
        """What is written to disk, releases included, holds no password; `${NAME}` is kept."""
        return masked(url)


class ServeSettings(Settings):
    """The endpoint. Where it listens is said on the command line."""

    engine: PartSpec = Field("embedded", description="what answers: embedded, or upstream (any OpenAI-compatible URL)")
    queue: int = Field(64, ge=1, description="requests that may wait; one more gets 429 with Retry-After")
    timeout_seconds: float = Field(120, gt=0, description="for one answer, waiting included; then 504")
    max_request_bytes: int = Field(1_000_000, ge=1024, description="a larger body gets 413")
    max_tokens: int = Field(512, ge=1, description="longest answer that a request may ask for, and the default of chat answers")
    requests_per_minute: int | None = Field(600, ge=1, description="of one API key; null for no limit")
    shadow_queue: int = Field(16, ge=0, description="copies of requests that may wait for a challenger in the shadow; more are left out")
    traffic: TrafficSettings = Field(default_factory=lambda: TrafficSettings.model_validate({}))


class AlertSettings(Settings):
    """Who is told, and how often at most."""

    urls: list[str] = Field([], description="Apprise URLs (mailto://, slack://, json:// ...); ${NAME} is taken from the environment")
    raise_after: int = Field(2, ge=1, description="windows in a row beyond the threshold before an alert is raised")
    clear_after: int = Field(2, ge=1, description="windows in a row within it before the alert is over")
    cool_off_minutes: float = Field(60, ge=0, description="an alert that goes on is repeated no more often than this")
    no_data_minutes: float | None = Field(60, gt=0, description="no request for so long is an alert; null switches it off")

    @field_serializer("urls")
    def _without_secrets(self, urls: list[str]) -> list[str]:
        """What is written to disk, releases included, holds no password or token; `${NAME}` is kept."""
        return [masked_service(one) for one in urls]


class MonitorSettings(Settings):
    """What is watched, on windows of how many requests, and when it is worth an alarm."""

    signals: Literal["default"] | list[PartSpec] = Field("default", description="default computes every signal of the folder")
    window: int = Field(500, ge=20, description="requests in one window")
    window_minutes: float | None = Field(
        None, gt=0, description="a window of at least 20 requests is closed after so long though it is not full; null waits"
    )
    false_alarms: float = Field(0.01, gt=0, lt=0.5, description="share of windows without drift in which any signal of a family may alarm")
    resamples: int = Field(1000, ge=100, description="shuffles of window and reference that set the thresholds")
    accuracy: float | None = Field(
        None, gt=0, lt=1, description="least accuracy that is acceptable; null takes the release's own, less 5 points"
    )
    p95_seconds: float | None = Field(None, gt=0, description="acceptable 95th percentile of latency; null only shows it")
    error_rate: float = Field(0.02, gt=0, lt=1, description="acceptable share of failed requests")
    label_maturity_hours: float = Field(24, ge=0, description="labels are judged once requests are this old, so that late labels are in")
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings.model_validate({}))

    @model_validator(mode="after")
    def _within_reach(self) -> MonitorSettings:
        if self.false_alarms * (self.resamples + 1) < 1:
            raise ValueError(
                f"{self.resamples} resamples tell no rate below {1 / (self.resamples + 1):.2g}: raise resamples or false_alarms"
            )
        return self


class CanarySettings(Settings):
    """How a challenger gets to serve."""

    shadow_requests: int = Field(100, ge=0, description="requests that it answers unseen first; 0 skips the shadow")
    shares: list[float] = Field([0.01, 0.05, 0.25, 1.0], min_length=1, description="of the callers, by sticky hash, step by step")
    requests: int = Field(100, ge=1, description="of the challenger at each step, at least, before the next")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the sequential tests, which may be looked at any time")
    worse_by: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="a loss of more than this share must be ruled out (errors, formats), or not be seen (thumbs, accuracy), or it aborts",
    )

    @model_validator(mode="after")
    def _rises(self) -> CanarySettings:
        if sorted(set(self.shares)) != self.shares or not 0 < self.shares[0] <= self.shares[-1] <= 1:
            raise ValueError(f"shares must rise between 0 and 1 (here {self.shares})")
        return self


class EndpointSettings(Settings):
    """The server that answers callers. A challenger is held against its release there before it gets any."""

    url: str | None = Field(None, description="for example http://127.0.0.1:8000; null leaves the gate out")
    key_env: str | None = Field(None, description="environment variable that holds an API key for it")
    precision: Literal["f32", "f16", "bf16", "q8_0"] = Field("f32", description="numbers that it computes with, which set the tolerance")
    rows: int = Field(64, ge=1, description="validation rows that it answers")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/@]+(/|$)", url):
            raise ValueError("must begin with http:// or https:// and hold no password: a key goes into the variable that key_env names")
        return url


class RetrainSettings(Settings):
    """When a challenger is trained, from which rows, and what it must show."""

    triggers: list[Literal["accuracy", "drift", "schedule"]] = Field(
        ["accuracy", "drift"], description="accuracy: labelled accuracy surely below the objective; drift: sustained, and enough labels"
    )
    every_hours: float | None = Field(None, gt=0, description="for the trigger schedule")
    min_new_rows: int = Field(100, ge=1, description="approved rows that must be new before training is worth it")
    replay: float = Field(0.5, ge=0, le=1, description="share of the old training rows that is trained on again")
    rolling_test: float = Field(0.3, gt=0, lt=1, description="share of the new rows that is sealed as the rolling test")
    cool_down_hours: float = Field(24, ge=0, description="least time between two retrainings")
    minutes: float | None = Field(None, gt=0, description="budget of the tune stage for each candidate; null takes the recipe's")
    max_per_week: int = Field(3, ge=1, description="retrainings a week at most")
    canary: CanarySettings = Field(default_factory=lambda: CanarySettings.model_validate({}))
    endpoint: EndpointSettings = Field(default_factory=lambda: EndpointSettings.model_validate({}))
