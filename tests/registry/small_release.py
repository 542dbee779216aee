"""A release as the registry sees one: a manifest, weights, and the proof of parity. Text files stand for the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.core.files import sha256_file, write_json


def small_release(directory: Path, weights: str = "weights", **changes: Any) -> Path:
    """Write a release whose weights are `weights`; `changes` replace keys of its manifest."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.safetensors").write_text(weights)
    (directory / "tokenizer.json").write_text("{}")
    write_json(directory / "parity.json", {"rows": 4, "same_answers": 4, "largest_difference": 1e-6, "tolerance": 2e-3})
    files = [
        {"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(directory.iterdir())
        if path.name not in ("manifest.json", "started.json")
    ]
    manifest = {"status": "APPROVED: SHIP.", "approved": True, "verdict": "SHIP", "kind": "model", "technique": "full"}
    manifest |= {"base_model": {"name": "tiny", "path": "/models/tiny", "fingerprint": "abc"}, "files": files}
    write_json(directory / "manifest.json", manifest | {"lineage": {"recipe": "r1", "data": {"train": 10}}} | changes)
    return directory
