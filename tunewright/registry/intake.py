"""From a release directory to `versions/N/`: every file checked against its hash, linked or copied, with its lineage beside it.

    versions/3/lineage.json   {"model": "reviews", "version": 3, "run": "/data/runs/reviews", "parent": 2, "reason": "...", "by": "ana",
                               "release": {"recipe": "16 hex digits", "data": {...}, "seal": {...}, "versions": {...}},
                               "files": [{"path": "adapter_model.safetensors", "bytes": 4883560, "sha256": "..."}, ...]}

`release` is what the release's own manifest says of rows, recipe, seal and code. `registry.json` holds the hash of lineage.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.core.errors import RunError
from tunewright.core.files import fingerprint, link, read_json, sha256_file

MANIFEST, LINEAGE = "manifest.json", "lineage.json"
DIFFERS = 0.01  # nats by which some label of some probe row must move, or nothing was tuned
EVIDENCE = ("parity_exports.json",)  # written after the manifest


def read_manifest(release: Path) -> dict[str, Any]:
    """The manifest of a release directory. Raises `RunError` when `release` is none."""
    if not (release / MANIFEST).is_file():
        raise RunError(f"{release} is not a release: it holds no {MANIFEST}. `tunewright run RECIPE` packs one into RUN/release.")
    manifest = read_json(release / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), list):
        raise RunError(f"{release / MANIFEST} names no files. Run the release stage again.")
    return manifest


def weights_fingerprint(files: list[dict[str, Any]], base: str | None) -> str:
    """One mark of all weights that answer: those of the release and, for an adapter, those of its base model."""
    return fingerprint({"base": base, "weights": {one["path"]: one["sha256"] for one in files if one["path"].endswith(".safetensors")}})


def release_fingerprint(manifest: Mapping[str, Any]) -> str:
    """The manifest's own mark, or the same made from its list of files."""
    base = manifest["base_model"]["fingerprint"] if manifest["kind"] == "adapter" else None
    return str(manifest.get("fingerprint") or weights_fingerprint(manifest["files"], base))


def listed(release: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every file that belongs to the release, with size and hash, once each is found to be as it was packed."""
    check(release, manifest["files"])
    rest = [name for name in (MANIFEST, *EVIDENCE) if (release / name).is_file()]
    own = [{"path": name, "bytes": (release / name).stat().st_size, "sha256": sha256_file(release / name)} for name in rest]
    return [*manifest["files"], *own]


def check(directory: Path, files: list[dict[str, Any]]) -> None:
    """Raises `RunError` unless each of `files` is in `directory` with its hash."""
    for one in files:
        path = directory / one["path"]
        if Path(one["path"]).is_absolute() or ".." in Path(one["path"]).parts:
            raise RunError(f"{directory}: the manifest names {one['path']!r}, which is outside the release. It was tampered with.")
        if not path.is_file() or path.stat().st_size != one["bytes"] or sha256_file(path) != one["sha256"]:
            state = "was changed" if path.is_file() else "is missing"
            raise RunError(f"{path} {state} since it was packed, so it is not what was tested. Pack or register the release again.")


def take(release: Path, files: list[dict[str, Any]], target: Path) -> None:
    """Put `files` into `target`: hard links, which cost no space, or copies where the file system has none."""
    for one in files:
        place = target / one["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        link(release / one["path"], place)


def why_not(release: Path, manifest: Mapping[str, Any], gates: tuple[Mapping[str, Any], ...]) -> tuple[list[str], list[str]]:
    """What speaks against serving a release: (what `force` may overrule, what nothing may)."""
    soft: list[str] = []
    hard: list[str] = []
    if not manifest["approved"]:
        soft.append(f"it is not approved (verdict {manifest['verdict']})")
    for one in gates:
        if one.get("passed") is False:
            (hard if one["name"].startswith("parity") else soft).append(f"gate {one['name']}: {one.get('text', 'failed')}")
    parity = read_json(release / "parity.json") if (release / "parity.json").is_file() else {}
    if not parity.get("rows"):
        hard.append("its parity was never checked (no parity.json): nobody knows that it answers as the tested model did")
    elif not parity["largest_difference"] <= parity["tolerance"]:
        hard.append(f"plain libraries answer differently: {parity['largest_difference']} nats, at most {parity['tolerance']} allowed")
    elif parity.get("largest_difference_from_base", 1.0) <= DIFFERS:
        hard.append(f"it answers like the untuned model (within {parity['largest_difference_from_base']} nats): its adapter may be lost")
    exports = read_json(release / EVIDENCE[0]) if (release / EVIDENCE[0]).is_file() else {}
    hard += [f"parity of {arm['name']}: {arm['text']}" for arm in exports.get("arms", []) if arm["passed"] is False]
    return soft, hard
