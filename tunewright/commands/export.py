"""`tunewright export REF --format F`: the release for other programs, compared with the release before it is there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tunewright.commands._shared import out, tell_report, user

HELP = "write the release for peft, transformers, llama.cpp, Ollama or vLLM, and check that it answers alike"
FORMATS = ("adapter", "merged", "gguf", "ollama", "vllm")
QUANTISATIONS = ("f32", "f16", "bf16", "q8_0")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="RUN", help="a run, a release, or MODEL@VERSION of the registry")
    parser.add_argument("--format", required=True, choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("-o", "--output", metavar="DIR", help="where to (default: RUN/exports/FORMAT, or exports/MODEL@VERSION/FORMAT)")
    parser.add_argument("--quantise", choices=QUANTISATIONS, default="f16", help="numbers of gguf and ollama (f16)")
    parser.add_argument("--rows", type=int, default=64, metavar="N", help="validation rows that it answers for the comparison (64)")
    parser.add_argument("--registry", metavar="DIR", help="(default: $TUNEWRIGHT_REGISTRY or registry)")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.progress import Report
    from tunewright.registry import locate
    from tunewright.release.export import export

    place = locate(given.ref, given.registry)
    folder = f"{given.format}-{given.quantise}" if given.format in ("gguf", "ollama") else given.format
    where = place.run / "exports" if place.run else Path("exports") / str(place).replace("/", "-").strip("-.")
    output = Path(given.output) if given.output else where / folder
    keep = None
    if place.registry is not None:  # a version never changes: what was measured stands among its gates
        registry, version = place.registry, place.version
        assert version is not None

        def keep(arm: dict[str, Any], artefact: str) -> None:
            gate = {"name": f"parity of {arm['name']}", "passed": arm["passed"], "text": arm["text"]}
            registry.record_gates(version, [gate], reason=f"exported to {artefact}", by=user())

    how = {"quantise": given.quantise, "rows": given.rows, "report": Report(quiet=given.json), "keep": keep}
    try:
        done = export(place.directory, place.name, given.format, output, **how)
    finally:
        tell_report(place.run)
    document = {"directory": str(done.directory), "format": done.format, "files": done.files, "use": done.notes, "parity": done.arm}
    out(given, document, done.summary())
    return 0
