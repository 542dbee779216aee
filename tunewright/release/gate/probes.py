"""What every artefact is asked, and what the release itself answered: the measure that adapters, merged models, GGUF files and
endpoints are held to.

    probes    texts of `parity.json`, with log-likelihoods of the labels by the release and by its untuned base, and greedy answers
    contract  texts of `tokens.json`, with the prompts' tokens as training saw them
    rows      validation rows of `reference.parquet`, with their label and the release's own answer; artefacts never see the label
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import RunError
from tunewright.core.files import read_json, read_parquet
from tunewright.core.score import Floats, Ints
from tunewright.registry.intake import read_manifest
from tunewright.release.reference import choose

ROWS = 64  # validation rows that each artefact answers


@dataclass(frozen=True)
class Probes:
    """See above. `margin` (m,) is how far, in nats, a row's answer was ahead of the next label."""

    labels: list[str]
    prompt: dict[str, Any]
    texts: list[str]
    log_likelihood: Floats
    base: Floats
    greedy: list[str]
    contract: list[tuple[str, list[int]]]
    controls: tuple[str, ...]
    rows: list[str]
    truth: Ints
    answers: Ints
    margin: Floats
    calibration: dict[str, Any]
    release: str

    @property
    def longest(self) -> int:
        """Tokens of the longest answer with its end."""
        return 1 + max(len(ids) for ids in self.prompt["answers"].values())


def read(release: Path, rows: int = ROWS, tokenizer: Any = None) -> Probes:
    """The probes of a release. Raises `RunError` for one that was packed before releases carried them."""
    manifest, parity = read_manifest(release), read_json(release / "parity.json")
    if "greedy" not in parity or not (release / "reference.parquet").is_file():
        raise RunError(
            f"{release} was packed by an older version, so there is nothing to compare exports with. Run the release stage again."
        )
    calibration = read_json(release / "calibration.json")
    labels: list[str] = calibration["labels"]
    longest = 1 + max(len(ids) for ids in manifest["prompt"]["answers"].values())
    whole = pl.col("prompt_tokens") + longest < manifest["prompt"]["max_length"]  # plain libraries do not cut a text as training did
    reference = choose(read_parquet(release / "reference.parquet").filter(whole), rows)
    shares = np.array(reference["probabilities"].to_list(), dtype=np.float64).reshape(len(reference), len(labels))
    nats = np.sort(np.log(shares.clip(1e-300)), axis=1)
    contract = [(row["text"], row["ids"][: len(row["ids"]) - sum(row["mask"])]) for row in read_json(release / "tokens.json")["rows"]]
    return Probes(
        labels=labels,
        prompt=manifest["prompt"],
        texts=parity["texts"],
        log_likelihood=np.array(parity["log_likelihood"]),
        base=np.array(parity["base_log_likelihood"]),
        greedy=parity["greedy"],
        contract=contract,
        controls=tuple(tokenizer.added_tokens_encoder) if tokenizer is not None else (),
        rows=reference["text"].to_list(),
        truth=_index(reference["label"], labels),
        answers=_index(reference["answer"], labels),
        margin=(nats[:, -1] - nats[:, -2]) * calibration["temperature"],
        calibration=calibration,
        release=str(manifest.get("fingerprint", "")),
    )


def _index(names: pl.Series, labels: list[str]) -> Ints:
    return np.array([labels.index(one) for one in names], dtype=np.int64)
