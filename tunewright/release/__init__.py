"""Release: pack the winner so that plain libraries can use it, and prove that they give the same answers.

    weights     adapter_model.safetensors (PEFT) or model.safetensors     `pack.py`
    tokenizer   with its chat template
    tokens.json       the token contract, derived again from the packed tokenizer
    parity.json       what a fresh process with nothing but transformers and peft answered     `parity.py`
    reference.parquet how it answers validation rows, for monitoring     `reference.py`
    calibration.json  what makes its likelihoods probabilities     `calibration.py`
    recipe.json       the recipe with every default filled in, secrets masked
    README.md         the model card, verdict first     `card.py`
    manifest.json     every file with its hash, how to prompt, lineage, and whether this may be used at all

Other formats are made from a release, and compared with it: `export/` and `gate/`. Everything is written beside `release/` and moved into place whole; a mismatch of tokens or answers leaves nothing there.
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
from tunewright.core.files import atomic_dir, fingerprint, read_json, read_parquet, sha256_file, write_json, write_parquet, write_text
from tunewright.core.run import Context, Run
from tunewright.core.urls import masked
from tunewright.registry.intake import check, weights_fingerprint

MARKERS = ("started.json", "done.json")  # of the lifecycle, not of the release


@dataclass(frozen=True)
class ReleaseResult:
    """Where the release is, whether it may be used, and how alike the fresh process answered."""

    directory: Path
    manifest: dict[str, Any]
    parity: dict[str, Any]
    calibration: dict[str, Any]

    def summary(self) -> list[str]:
        size = sum(one["bytes"] for one in self.manifest["files"]) / 1e6
        told = self.calibration
        lines = [self.manifest["status"], f"packed in {self.directory} ({size:.1f} MB); {_alike(self.parity)}"]
        lines.append(
            f"probabilities: temperature {told['temperature']:.2f}, calibration error {told['ece_before']:.3f} before and "
            f"{told['ece_after']:.3f} after ({told['ece_if_perfect']:.3f} were it perfect), on {told['rows']} validation rows"
        )
        return lines

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.summary())


def run(context: Context) -> ReleaseResult:
    """Pack, check tokens, check answers, describe; then move into place. Raises `RunError` when a check fails."""
    from tunewright.models.load import attach, load_base
    from tunewright.release import card, pack, parity, reference

    recipe, run, verdict = context.recipe, context.run, context.run.verdict
    labels: list[str] = read_json(run.path("prepare", "summary.json"))["labels"]
    candidate, final = run.path("tune", verdict["candidate"]), run.path("release")
    base = load_base(recipe.model, context.report)
    winner = attach(base, candidate)
    validation = read_parquet(run.path("prepare", "validation.parquet"))
    with atomic_dir(final) as beside:
        with context.report.task("packing the winner"):
            kind = pack.weights(winner, candidate, beside)
            chat = pack.tokenizer(base.tokenizer, recipe, labels, beside)
            contract = read_json(candidate / "tokens.json")
            pack.check_contract(contract, beside)
        write_json(beside / "tokens.json", contract)
        write_json(beside / "recipe.json", recipe.model_dump())
        probes = _probes(validation, chat, recipe.release.probe_rows)
        with context.report.task("checking answers in a fresh process"):
            same = parity.check(beside, winner, chat, probes, base)
        write_json(beside / "parity.json", same)
        rows = reference.choose(validation)
        answers, calibration = reference.describe(rows, chat, reference.scores(run, winner, chat, rows, context.report))
        write_parquet(beside / "reference.parquet", answers)
        write_json(beside / "calibration.json", calibration)
        manifest = {
            "status": _status(verdict["verdict"]),
            "approved": verdict["verdict"] == "SHIP",
            "verdict": verdict["verdict"],
            "kind": kind,
            "technique": winner.technique,
            "candidate": verdict["candidate"],
            "base_model": {"name": base.name, "path": str(base.directory), "fingerprint": base.fingerprint},
            "fingerprint": weights_fingerprint(_files(beside), base.fingerprint if kind == "adapter" else None),
            "prompt": parity.prompt(chat),
            "recipe": fingerprint(recipe.model_dump()),
            "versions": {"tunewright": __version__} | same["versions"],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "lineage": _lineage(run, verdict, recipe.data.path),
        }
        write_text(beside / "README.md", card.model_card(run, manifest, calibration, same))
        write_json(beside / "manifest.json", manifest | {"files": _files(beside)})
        for marker in MARKERS:
            if (final / marker).exists():
                shutil.copy2(final / marker, beside / marker)
    return ReleaseResult(final, read_json(final / "manifest.json"), same, calibration)


def _lineage(run: Run, verdict: dict[str, Any], path: str | list[str]) -> dict[str, Any]:
    """Back to the rows: what they were read from, the splits by hash, and how often the sealed test was looked at."""
    seal, counts = read_json(run.path("prepare", "seal.json")), read_json(run.path("prepare", "summary.json"))["counts"]
    files = {name: run.path("prepare", f"{name}.parquet") for name in ("train", "validation")}
    splits = {name: sha256_file(file) for name, file in files.items()} | {"test": seal["sha256"]}
    return {
        "run": str(run.directory.resolve()),
        "data": {
            "path": [masked(one) for one in ([path] if isinstance(path, str) else path)],
            "fingerprint": fingerprint(splits),
            "sha256": splits,
            "rows": {"read": read_json(run.path("audit", "summary.json"))["rows"]}
            | {name: sum(found.values()) for name, found in counts.items()},
        },
        "seal": {"sha256": seal["sha256"], "rows": seal["rows"], "openings": len(seal["openings"])},
        "evaluation": {
            "metric": verdict["metric"],
            "scores": next(
                one["scores"] for one in read_json(run.path("evaluate", "results.json"))["systems"] if one["name"] == verdict["candidate"]
            ),
            **{key: verdict[key] for key in ("baseline", "difference", "ci_low", "ci_high", "p_value", "n")},
        },
        "stages": {name: done["inputs"] for name in ("audit", "prepare", "tune", "evaluate") if (done := run.done(name))},
    }


def verify_tokens(directory: Path) -> str:
    """Check a packed release again: its files, and the tokens that its tokenizer gives. Raises `RunError`."""
    from tunewright.release import pack

    contract = read_json(directory / "tokens.json")
    check(directory, read_json(directory / "manifest.json")["files"])
    pack.check_contract(contract, directory)
    return f"every file is as it was packed; {len(contract['rows'])} probe rows give the tokens of training"


def verify_parity(directory: Path) -> str:
    """Let plain libraries answer the probe rows of a packed release again; tell what was measured of its exports.

    Raises `RunError` when they differ, or when an export did.
    """
    from tunewright.release import gate, parity

    told = _alike(parity.again(directory))
    arms = gate.kept(directory)
    failed = [f"{one['name']}: {one['text']}" for one in arms if not one["passed"]]
    if failed:
        raise RunError(f"{told}; but of the exports {'; '.join(failed)} Export it again.")
    return "; ".join([told, *(f"{one['name']} was alike on {one['time'][:10]}: {one['text']}" for one in arms)])


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
