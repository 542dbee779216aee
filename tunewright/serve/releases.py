"""What the endpoint knows of a version besides its weights: names, fingerprints, labels and how sure it really is.

Read from the release directory: `manifest.json` (labels, fingerprints), `calibration.json` (temperature and prior of the label
probabilities; without it they are the plain softmax). A base model has neither labels nor calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import RunError
from tunewright.core.files import fingerprint, read_json, sha256_file
from tunewright.core.score import Floats


@dataclass(frozen=True)
class Release:
    """One version as it is served, for example `reviews@3`."""

    name: str
    directory: Path
    release: str  # fingerprint of its weights
    base: str  # fingerprint of the base model
    base_name: str
    base_directory: str | None
    labels: tuple[str, ...] = ()
    temperature: float = 1.0
    prior: tuple[float, ...] | None = None  # nats of each label whatever the text
    calibrated: bool = False
    status: str = ""
    approved: bool = True

    def adjusted(self, log_likelihood: Floats) -> Floats:
        """Scores (n, c) whose softmax are the probabilities: without the prior, at the calibrated temperature."""
        scores = np.asarray(log_likelihood, dtype=np.float64)
        if self.prior is not None:
            scores = scores - np.array(self.prior)
        return np.asarray(scores / self.temperature, dtype=np.float64)

    def probabilities(self, log_likelihood: Floats) -> Floats:
        """Calibrated probabilities (n, c) of the labels."""
        scores = self.adjusted(log_likelihood)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


def read_release(name: str, directory: Path) -> Release:
    """The release in `directory`, to be served as `name`. Raises `RunError` when it is not whole."""
    manifest = read_json(directory / "manifest.json")
    try:
        base = manifest["base_model"]
        labels = tuple(manifest["prompt"]["answers"])
        release = Release(
            name=name,
            directory=directory,
            release=str(manifest.get("fingerprint") or weights_fingerprint(manifest)),
            base=str(base["fingerprint"]),
            base_name=str(base["name"]),
            base_directory=base.get("path"),
            labels=labels,
            status=str(manifest["status"]),
            approved=bool(manifest["approved"]),
            **_calibration(directory, labels),
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"{directory / 'manifest.json'} lacks {error}. Run the release stage again.") from error
    return release


def read_base(name: str, directory: Path) -> Release:
    """A base model, to be served as `name`."""
    from tunewright.models.load import model_fingerprint

    mark = model_fingerprint(directory)
    return Release(name, directory, mark, mark, name, str(directory), status="The base model, not tuned.")


def verify(directory: Path) -> int:
    """Check the hash of every file that the manifest lists; how many there are. Raises `RunError`."""
    files = read_json(directory / "manifest.json").get("files", [])
    for one in files:
        path = directory / str(one["path"])
        if not path.resolve().is_relative_to(directory.resolve()):
            raise RunError(f"{directory / 'manifest.json'} lists {one['path']}, which is outside the release. It is not served.")
        if not path.is_file() or sha256_file(path) != one["sha256"]:
            state = "was changed" if path.is_file() else "is missing"
            raise RunError(f"{path} {state} since the release was packed. It is not served: run the release stage again.")
    return len(files)


def weights_fingerprint(manifest: dict[str, Any]) -> str:
    """A fingerprint of the weights from the hashes of their files, for manifests without one of their own."""
    files = manifest.get("files", [])
    return fingerprint(sorted(one["sha256"] for one in files if str(one["path"]).endswith(".safetensors")))


def _calibration(directory: Path, labels: tuple[str, ...]) -> dict[str, Any]:
    path = directory / "calibration.json"
    if not path.is_file():
        return {}
    told = read_json(path)
    temperature, prior = float(told["temperature"]), told.get("prior")
    if list(told.get("labels", labels)) != list(labels) or not 0 < temperature < float("inf"):
        raise RunError(
            f"{path} does not fit the release: labels {told.get('labels')}, temperature {temperature:g}. Run the release stage again."
        )
    return {"temperature": temperature, "prior": None if prior is None else tuple(map(float, prior)), "calibrated": True}
