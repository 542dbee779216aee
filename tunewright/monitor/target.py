"""What `tunewright monitor TARGET` watches: a model of the registry, or a run's release alone; and the endpoint that can be asked.

reviews, registry/reviews       every version that serves: the champion, and the challenger of a rollout
runs/demo, runs/demo/release    that release, as `demo@0`, which is what `tunewright serve runs/demo` logs
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import RunError
from tunewright.core.files import read_json
from tunewright.core.optional import require
from tunewright.core.score import Floats
from tunewright.core.watch import Scorer
from tunewright.monitor.reference import Reference, load_reference
from tunewright.registry import Registry, open_model

_ODD = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Target:
    """A model by its name in the log. Exactly one of `registry` and `release` is set."""

    model: str
    registry: Registry | None = None
    release: Path | None = None

    def versions(self) -> dict[str, Path]:
        """The versions that serve now, the champion first: "reviews@3" and the release's directory. Raises `RunError` when there is none."""
        if self.registry is None:
            assert self.release is not None
            return {f"{self.model}@0": self.release}
        state = self.registry.state()
        serving = [state.champion, state.rollout.challenger if state.rollout else state.challenger]
        numbers = [one for one in dict.fromkeys(serving) if one is not None]
        if not numbers:
            raise RunError(f"{self.model}: no version serves yet. `tunewright promote {self.model} VERSION` makes one the champion.")
        return {f"{self.model}@{number}": self.registry.path(number) for number in numbers}

    def reference(self, overrides: Sequence[str] = ()) -> Reference:
        """The champion's reference, whose settings count for the model."""
        version, directory = next(iter(self.versions().items()))
        return load_reference(directory, version, overrides)

    def serving_since(self) -> datetime | None:
        """Since when requests could have come."""
        if self.registry is not None:
            state = self.registry.state()
            champion = None if state.champion is None else state.versions.get(state.champion)
            told = champion.created if champion else None
        else:
            assert self.release is not None
            told = read_json(self.release / "manifest.json").get("created")
        return datetime.fromisoformat(told) if told else None


def find_target(given: str, registry: str | Path | None = None) -> Target:
    """The target that `given` names; a directory goes before a name. Raises `RunError`."""
    path = Path(given).expanduser()
    if (path / "registry.json").is_file():
        return Target(path.resolve().name, registry=Registry(path))
    for release in (path, path / "release"):
        if (release / "manifest.json").is_file():
            return Target(_called(release.resolve()), release=release.resolve())
    if path.is_dir():
        raise RunError(
            f"{given} cannot be watched: it holds no registry.json, no manifest.json (a release) and no release/manifest.json (a run)."
        )
    return Target(given, registry=open_model(given, registry))


def _called(release: Path) -> str:
    """`runs/demo/release` is called demo, another directory as itself: as the endpoint calls it."""
    return _ODD.sub("-", release.parent.name if release.name == "release" else release.name).strip("-.") or "model"


def endpoint(url: str, version: str, directory: Path, key: str | None) -> Scorer:
    """What asks `url` (`/v1/classify`) for the label log-likelihoods of a version, up to a constant for each text. The calibration is undone, so
    that they compare with those of plain libraries."""
    labels = list(read_json(directory / "manifest.json")["prompt"]["answers"])
    told: dict[str, Any] = read_json(directory / "calibration.json") if (directory / "calibration.json").exists() else {}
    temperature, prior = float(told.get("temperature", 1.0)), np.array(told.get("prior") or np.zeros(len(labels)))

    def score(texts: list[str]) -> Floats:
        found = ask(url, version, texts, key)
        shares = np.array([[one["probabilities"].get(label, 0.0) for label in labels] for one in found], dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(shares) * temperature + prior)

    return score


def ask(url: str, model: str, texts: list[str], key: str | None) -> list[dict[str, Any]]:
    """What `/v1/classify` answers to each text: answer, confidence, probabilities. Raises `RunError`."""
    httpx = require("httpx", "serve")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    found: list[dict[str, Any]] = []
    try:
        with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=300, trust_env=False, follow_redirects=False) as client:
            for start in range(0, len(texts), 64):
                reply = client.post("/v1/classify", json={"model": model, "input": texts[start : start + 64]})
                if reply.status_code != 200:
                    raise RunError(f"{url}/v1/classify answered {reply.status_code}: {reply.text[:200]}")
                found += reply.json()["data"]
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, KeyError) as error:
        raise RunError(
            f"{url}/v1/classify cannot be asked ({type(error).__name__}: {error}). Is the endpoint up and the address right?"
        ) from error
    return found
