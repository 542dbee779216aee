"""The parity gate: adapter = merged = GGUF = endpoint, by tokens, likelihoods, free answers and a blind score.

    read(release)  what is asked, and what the release answered        `probes.py`
    compare(...)   five comparisons, and the tolerances               `compare.py`
    arms           plain libraries, llama.cpp, any OpenAI endpoint     `plain.py`, `llama.py`, `endpoint.py`

Results of a release's artefacts stand in its `parity_exports.json` (`keep`), those of a registered version among its gates. A failed
one stops promotion until the same artefact passes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunewright.core.files import read_json, write_json
from tunewright.registry.intake import EVIDENCE
from tunewright.release.gate.arm import Arm, ParityError
from tunewright.release.gate.compare import TOLERANCES, Tolerance, compare
from tunewright.release.gate.probes import ROWS, Probes, read

__all__ = ["ROWS", "TOLERANCES", "Arm", "ParityError", "Probes", "Tolerance", "check_endpoint", "compare", "keep", "kept", "read"]


def check_endpoint(
    release: Path, url: str, model: str, *, key: str | None = None, rows: int = ROWS, quantise: str = "f32"
) -> dict[str, Any]:
    """Compare the model `model` served at `url` with the release; what was measured.

    `quantise` names the tolerance: f32 for an endpoint that computes as training did. Raises `ParityError` when it answers
    otherwise, `RunError` when it cannot be asked.
    """
    from tunewright.release.gate.endpoint import EndpointArm
    from tunewright.release.pack import saved_tokenizer

    tokenizer = saved_tokenizer(release)
    probes = read(release, rows, tokenizer)
    arm = EndpointArm(url, model, probes, tokenizer, key)
    return compare(arm, probes, TOLERANCES[quantise])


def kept(release: Path) -> list[dict[str, Any]]:
    """What was measured of a release's artefacts, newest last."""
    file = release / EVIDENCE[0]
    return list(read_json(file)["arms"]) if file.is_file() else []


def keep(release: Path, arm: dict[str, Any], artefact: str) -> None:
    """Write down what was measured; an older result of the same artefact goes."""
    others = [one for one in kept(release) if one["name"] != arm["name"]]
    told = arm | {"artefact": artefact, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(release / EVIDENCE[0], {"release": arm["release"], "arms": [*others, told]})
