"""A small true story: a tiny model that learns the words of one shop, then customers who use other words."""

from __future__ import annotations

import csv
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import torch

from tunewright import lifecycle
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.registry import Registry
from tunewright.testing.tiny import tiny_model
from tunewright.traffic.record import Exchange, Feedback
from tunewright.traffic.store import TrafficStore

torch.set_num_threads(1)
WORDS = {
    "old": {"yes": ["love", "great", "nice", "happy", "best"], "no": ["broke", "worst", "bad", "poor", "sad"]},
    "new": {"yes": ["superb", "delight", "lovely", "marvel", "wow"], "no": ["junk", "rubbish", "fails", "awful", "crap"]},
}
THINGS = ["battery", "screen", "phone", "case", "cable", "charger", "camera", "speaker", "button", "cover", "stand", "strap", "lens"]
RETRAIN: dict[str, Any] = {
    "min_new_rows": 60,
    "rolling_test": 0.4,
    "replay": 0.5,
    "canary": {"shadow_requests": 10, "shares": [0.5, 1.0], "requests": 20, "worse_by": 0.3},
}


def rows(kind: str, count: int, seed: int = 0) -> list[dict[str, str]]:
    """`count` rows whose label hangs on one word of `kind`."""
    draw, found = random.Random(f"{kind}{seed}"), []
    for number in range(count):
        label = draw.choice(["yes", "no"])
        first, second = draw.sample(THINGS, 2)
        digits = " ".join(str(draw.randrange(10_000)) for _ in range(3))
        text = f"{draw.choice(WORDS[kind][label])} {first} with {second} number {digits}"
        found.append({"id": f"{kind}{seed}-{number}", "text": text, "label": label})
    return found


def values(folder: Path, steps: int = 140, **sections: Any) -> dict[str, Any]:
    """The recipe of the tiny model on the old rows of `folder`."""
    return {
        "data": {"path": str(folder / "rows.csv"), "id": "id"},
        "model": {"base": str(folder / "tiny"), "max_length": 96},
        "audit": {"checks": ["empty_text"]},
        "prepare": {"steps": ["drop_exact_duplicates"], "near_duplicate_threshold": 0.9},
        "tune": {
            "techniques": [{"name": "full", "learning_rate": 5e-3}],
            "max_steps": steps,
            "num_train_epochs": 60,
            "per_device_train_batch_size": 16,
            "evaluations": 1,
            "validation_rows": 60,
            "workers": 1,
        },
        "evaluate": {"baselines": ["majority"], "metrics": ["accuracy"], "metric": "accuracy"},
        "explain": {"methods": ["occlusion"], "rows": 1},
        "release": {"probe_rows": 2},
        "serve": {"traffic": {"keep": "text"}},
        "monitor": {
            "window": 60,
            "label_maturity_hours": 0,
            "resamples": 200,
            "signals": ["vocabulary", "label_mix", "confidence", "accuracy"],
        },
        "retrain": RETRAIN,
        **sections,
    }


def first_run(folder: Path, **sections: Any) -> Run:
    """The lifecycle on 400 old rows; about ten seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_model(folder / "tiny")
    with open(folder / "rows.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "text", "label"])
        writer.writeheader()
        writer.writerows(rows("old", 400))
    return lifecycle.run(Recipe.check(values(folder, **sections)), folder / "run", report=Report(quiet=True))


def registry_of(run: Run, folder: Path) -> Registry:
    """A registry whose champion is the release of a copy of `run`."""
    copy = folder / "run"
    shutil.copytree(run.directory, copy)
    registry = Registry(folder / "registry" / "shop")
    registry.register(copy / "release", run=copy, reason="first", by="test")
    registry.promote(1, reason="first", by="test")
    return registry


def exchange(number: int | str, text: str, version: str, side: Any = "champion", said: str = "yes", **more: Any) -> Exchange:
    about = {"endpoint": "classify", "model": "shop", "version": version, "release": "r", "base": "b", "side": side, "status": 200}
    answer = {"prompt": text, "answer": said, "label": said, "probabilities": {said: 0.6}, "seconds": 0.01, "caller": f"c{number}"}
    return Exchange(**{"id": f"cls-{number}", "time": datetime.now(UTC), **about, **answer, **more})  # type: ignore[arg-type]


def talk(
    store: TrafficStore, given: list[dict[str, str]], version: str = "shop@1", sampled: Any = "uniform", approved: bool = True
) -> None:
    """Log rows as requests that `version` answered with yes, with their true labels."""
    now = datetime.now(UTC)
    with store.writer() as writer:
        for one in given:
            writer.log(exchange(one["id"], one["text"], version, time=now - timedelta(seconds=5)))
    words = [Feedback(f"cls-{one['id']}", "label", one["label"], now, "ann", sampled=sampled, approved=approved) for one in given]
    store.add_feedback(words)


def serve(registry: Registry, store: TrafficStore, count: int = 40, bad: Any = None, seed: int = 0) -> None:
    """What a server would log at the registry's present rollout: `count` requests on each side. `bad(version)` are fields of its answers."""
    state, bad = registry.state(), bad or (lambda version: {})
    champion, rollout = f"shop@{state.champion}", state.rollout
    mark = f"{state.revision}-{seed}"
    with store.writer() as writer:
        for number in range(count):
            if rollout is None or rollout.mode == "shadow" or rollout.share < 1:
                writer.log(exchange(f"{mark}-a{number}", f"text {number}", champion, **bad(champion)))
            if rollout is None:
                continue
            version = f"shop@{rollout.challenger}"
            shadow = {"side": "shadow", "shadow_of": f"cls-{mark}-a{number}"} if rollout.mode == "shadow" else {"side": "challenger"}
            writer.log(exchange(f"{mark}-b{number}", f"text {number}", version, **{**shadow, **bad(version)}))
