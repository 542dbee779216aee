"""Export: the release in the layouts that other programs read, each compared with the release before it is there.

    adapter  PEFT's layout as it is                 `adapter.py`
    merged   one plain transformers model           `merged.py`
    gguf     one file for llama.cpp and kin         `gguf.py`, `gguf_tokenizer.py`
    ollama   a GGUF file and a Modelfile            `ollama.py`
    vllm     an adapter or model and a command      `vllm.py`

A format is one module with `write(source, directory, options)`. What it wrote goes through the parity gate (`gate/`); a mismatch leaves
nothing behind. `export.json` says what it is, of which release, and what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tunewright import __version__
from tunewright.core.errors import RunError
from tunewright.core.files import atomic_dir, sha256_file, write_json
from tunewright.core.progress import Report
from tunewright.release import gate
from tunewright.release.export.source import Options, Source

FORMATS = ("adapter", "merged", "gguf", "ollama", "vllm")
QUANTISATIONS = ("f32", "f16", "bf16", "q8_0")
MARKER = "export.json"


@dataclass(frozen=True)
class Exported:
    """Where it is, how to use it, and what the gate measured."""

    directory: Path
    format: str
    files: list[dict[str, Any]]
    notes: list[str]
    arm: dict[str, Any]

    def summary(self) -> list[str]:
        size = sum(one["bytes"] for one in self.files) / 1e6
        return [f"{self.format} in {self.directory} ({size:.1f} MB)", f"{self.arm['name']}: {self.arm['text']}", *self.notes]


def export(
    release: Path,
    name: str,
    kind: str,
    output: Path,
    *,
    quantise: str = "f16",
    rows: int = gate.ROWS,
    report: Report | None = None,
    keep: Callable[[dict[str, Any], str], None] | None = None,
) -> Exported:
    """Write the release as `kind` into `output` and compare it with the release on `rows` validation rows.

    `keep(arm, artefact)` writes down what was measured, whether it passed or not (by default in the release's `parity_exports.json`).
    Raises `ParityError` when the result answers otherwise, and then `output` is as it was.
    """
    report = report or Report(quiet=True)
    if output.exists() and any(output.iterdir()) and not (output / MARKER).is_file():
        raise RunError(
            f"{output} holds something that is no export ({MARKER} is missing), so it is left alone. Give another directory with -o."
        )
    source = Source(release, name)
    probes = gate.read(release, rows, source.tokenizer)
    with atomic_dir(output) as beside:
        with report.task(f"writing {kind}"):
            notes = import_module(f"{__name__}.{kind}").write(source, beside, Options(quantise))
        with report.task("comparing it with the release"):
            arm, failure = _measured(source, kind, beside, quantise, probes)
        (keep or (lambda found, artefact: gate.keep(release, found, artefact)))(arm, str(output))
        if failure is not None:
            raise failure
        files = [
            {"path": str(one.relative_to(beside)), "bytes": one.stat().st_size, "sha256": sha256_file(one)}
            for one in sorted(beside.rglob("*"))
            if one.is_file()
        ]
        told = {"format": kind, "name": name, "quantise": quantise if kind in ("gguf", "ollama") else None, "release": probes.release}
        told |= {"approved": source.manifest["approved"], "prompt": source.manifest["prompt"], "version": __version__}
        write_json(beside / MARKER, told | {"use": notes, "parity": arm, "files": files})
    return Exported(output, kind, files, notes, arm)


def _measured(source: Source, kind: str, directory: Path, quantise: str, probes: gate.Probes) -> tuple[dict[str, Any], Exception | None]:
    """What the gate measured, and the error if it failed."""
    arm = _arm(source, kind, directory, quantise, probes)
    precision = quantise if kind in ("gguf", "ollama") else "f32"
    try:
        return gate.compare(arm, probes, gate.TOLERANCES[precision]), None
    except gate.ParityError as error:
        return error.arm, error
    finally:
        arm.close()


def _arm(source: Source, kind: str, directory: Path, quantise: str, probes: gate.Probes) -> gate.Arm:
    from tunewright.release.gate import llama
    from tunewright.release.gate.plain import PlainArm

    if kind not in ("gguf", "ollama"):
        return PlainArm.of(kind, directory, probes.prompt, source.base if source.peft_type and kind != "merged" else None)
    file = next(directory.glob("*.gguf"))
    if llama.available():
        room = probes.prompt["max_length"] + 64
        return llama.LlamaArm(f"{kind} {quantise} (llama.cpp)", file, probes, source.tokenizer, room)
    return PlainArm.of_gguf(f"{kind} {quantise} (transformers)", file, probes.prompt, source.model.config)
