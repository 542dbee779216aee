"""Release: pack the winner so that plain libraries can use it, and prove that they give the same answers.

    weights     adapter_model.safetensors (PEFT) or model.safetensors     `pack.py`
    tokenizer   with its chat template
    tokens.json       the token contract, derived again from the packed tokenizer
    parity.json       what a fresh process with nothing but transformers and peft answered     `parity.py`
    README.md         the model card, verdict first     `card.py`
    manifest.json     every file with its hash, how to prompt, and whether this may be used at all

Everything is written beside `release/` and moved into place whole; a mismatch of tokens or answers leaves nothing there.
A release is always packed, and approved only if the verdict is SHIP.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from tunewright import __version__
from tunewright.core.errors import RunError
from tunewright.core.files import atomic_dir, fingerprint, read_json, read_parquet, sha256_file, write_json, write_text
from tunewright.core.run import Context, Run

MARKERS = ("started.json", "done.json")  # of the lifecycle, not of the release


@dataclass(frozen=True)
class ReleaseResult:
    """Where the release is, whether it may be used, and how alike the fresh process answered."""

    directory: Path
    manifest: dict[str, Any]
    parity: dict[str, Any]

    def summary(self) -> list[str]:
        size = sum(one["bytes"] for one in self.manifest["files"]) / 1e6
        return [self.manifest["status"], f"packed in {self.directory} ({size:.1f} MB); {_alike(self.parity)}"]

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.summary())


def run(context: Context) -> ReleaseResult:
    """Pack, check tokens, check answers, describe; then move into place. Raises `RunError` when a check fails."""
    from tunewright.models.load import attach, load_base
    from tunewright.release import card, pack, parity

    recipe, run, verdict = context.recipe, context.run, context.run.verdict
    labels: list[str] = read_json(run.path("prepare", "summary.json"))["labels"]
    candidate, final = run.path("tune", verdict["candidate"]), run.path("release")
    base = load_base(recipe.model, context.report)
    winner = attach(base, candidate)
    with atomic_dir(final) as beside:
        with context.report.task("packing the winner"):
            kind = pack.weights(winner, candidate, beside)
            chat = pack.tokenizer(base.tokenizer, recipe, labels, beside)
            contract = read_json(candidate / "tokens.json")
            pack.check_contract(contract, beside)
        write_json(beside / "tokens.json", contract)
        probes = _probes(read_parquet(run.path("prepare", "validation.parquet")), chat, recipe.release.probe_rows)
        with context.report.task("checking answers in a fresh process"):
            same = parity.check(beside, winner, chat, probes)
        write_json(beside / "parity.json", same)
        manifest = {
            "status": _status(verdict["verdict"]),
            "approved": verdict["verdict"] == "SHIP",
            "verdict": verdict["verdict"],
            "kind": kind,
            "technique": winner.technique,
            "candidate": verdict["candidate"],
            "base_model": {"name": base.name, "path": str(base.directory), "fingerprint": base.fingerprint},
            "prompt": parity.prompt(chat),
            "recipe": fingerprint(recipe.model_dump()),
            "versions": {"tunewright": __version__} | same["versions"],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_text(beside / "README.md", card.model_card(run, manifest))
        write_json(beside / "manifest.json", manifest | {"files": _files(beside)})
        for marker in MARKERS:
            if (final / marker).exists():
                shutil.copy2(final / marker, beside / marker)
    return ReleaseResult(final, read_json(final / "manifest.json"), same)


def verify_tokens(run: Run) -> str:
    """Check a packed release again: its files, and the tokens that its tokenizer gives. Raises `RunError`."""
    from tunewright.release import pack

    directory, contract = run.path("release"), read_json(run.path("release", "tokens.json"))
    for one in read_json(directory / "manifest.json")["files"]:
        path = directory / one["path"]
        if not path.exists() or sha256_file(path) != one["sha256"]:
            state = "was changed" if path.exists() else "is missing"
            raise RunError(f"{path} {state} since the release was packed. Run the release stage again.")
    pack.check_contract(contract, directory)
    return f"every file is as it was packed; {len(contract['rows'])} probe rows give the tokens of training"


def verify_parity(run: Run) -> str:
    """Let plain libraries answer the probe rows of a packed release again. Raises `RunError` when they differ."""
    from tunewright.release import parity

    return _alike(parity.again(run.path("release")))


def _alike(parity: dict[str, Any]) -> str:
    return (
        f"transformers and peft alone give {parity['same_answers']} of {parity['rows']} answers alike"
        f" (likelihoods within {parity['largest_difference']:.1e} nats)"
    )


def _status(verdict: str) -> str:
    if verdict == "SHIP":
        return "APPROVED: SHIP."
    return f"NOT APPROVED: {verdict}. The sealed test does not support putting this model into service."


def _probes(rows: pl.DataFrame, chat: Any, count: int) -> list[str]:
    """Texts of validation rows, every label in turn, none of them cut to fit."""
    turn = pl.int_range(pl.len()).over("label")
    texts = rows.sort("row_id").with_columns(turn=turn).sort("turn", "label")["text"].to_list()
    fits = [text for text, cut in zip(texts, chat.encode(texts).truncated, strict=True) if not cut]
    if not fits:
        raise RunError("release: every validation text is longer than model.max_length, so answers cannot be compared.")
    return fits[:count]


def _files(directory: Path) -> list[dict[str, Any]]:
    found = sorted(directory.iterdir())
    return [{"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in found]
