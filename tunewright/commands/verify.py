"""`tunewright verify RUN [WHAT]`: check the evidence of a run or of a release again, or hold a served model against its release."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from tunewright.commands._shared import existing, out, tell_report, user

HELP = "check the evidence of a run or a release again, or a served model against its release"
VERIFIERS = ("ledger", "resume", "tokens", "parity", "seal")
PRECISIONS = ("f32", "f16", "bf16", "q8_0")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run; or, for tokens and parity, a release or MODEL@VERSION")
    parser.add_argument("what", nargs="?", choices=VERIFIERS, metavar="WHAT", help=f"{', '.join(VERIFIERS)} (default: all but resume)")
    parser.add_argument("--registry", metavar="DIR", help="(default: $TUNEWRIGHT_REGISTRY or registry)")
    served = parser.add_argument_group("parity of a served model")
    served.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server, for example http://127.0.0.1:8000")
    served.add_argument("--model", metavar="NAME", help="the model's name there (default: the release's)")
    served.add_argument("--key-env", metavar="VARIABLE", help="environment variable that holds the API key")
    served.add_argument(
        "--precision", choices=PRECISIONS, default="f32", help="numbers that it computes with, which set the tolerance (f32)"
    )
    served.add_argument("--rows", type=int, default=64, metavar="N", help="validation rows that it answers (64)")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.errors import RunError
    from tunewright.verify import verify, verify_release

    if given.endpoint and given.what != "parity":
        raise RunError("--endpoint is for parity: tunewright verify RUN parity --endpoint URL.")
    if given.endpoint:
        results = [_served(given)]
    elif Path(given.run, "resolved.json").is_file() or (os.sep in given.run and not Path(given.run, "manifest.json").is_file()):
        results = verify(existing(given.run), given.what)
    else:
        from tunewright.registry import locate

        results = verify_release(locate(given.run, given.registry).directory, given.what)
    marks = {True: "ok", False: "FAIL", None: "-"}
    lines = [f"{marks[one['ok']]:<4}  {one['name']:<8} {one['text']}" for one in results]
    out(given, {"run": given.run, "results": results}, lines)
    return 0 if all(one["ok"] is not False for one in results) else 1


def _served(given: argparse.Namespace) -> dict[str, Any]:
    """The model at the endpoint against the release, written down with the release or among the version's gates."""
    from tunewright.core.errors import RunError
    from tunewright.registry import locate
    from tunewright.release import gate

    place = locate(given.run, given.registry)
    if given.key_env and given.key_env not in os.environ:
        raise RunError(f"--key-env {given.key_env}: there is no such environment variable.")
    key = os.environ[given.key_env] if given.key_env else None
    name = given.model or (str(place) if place.registry is not None else place.name)
    try:
        arm = gate.check_endpoint(place.directory, given.endpoint, name, key=key, rows=given.rows, quantise=given.precision)
    except gate.ParityError as error:
        arm = error.arm
    if place.registry is None:
        gate.keep(place.directory, arm, arm["artefact"])
        tell_report(place.run)
    else:
        assert place.version is not None
        told = {"name": f"parity of {arm['name']}", "passed": arm["passed"], "text": arm["text"]}
        place.registry.record_gates(place.version, [told], reason=f"asked {given.endpoint}", by=user())
    return {"name": "parity", "ok": arm["passed"], "text": f"{arm['name']} ({arm['artefact']}): {arm['text']}", "measured": arm}
