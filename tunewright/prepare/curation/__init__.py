"""Less can be more: which training rows are worth keeping, by what speaks against them, how hard and how alike they are.

    quality      what the audit found, weighed by severity           quality.py
    difficulty   how much the prompt helps the base model            difficulty.py   (Li et al. 2024, arXiv 2308.12032)
    diversity    the rows that cover all others best                 diversity.py    (Sener & Savarese 2018, arXiv 1708.00489)

A choice of rows has to beat chance: many published ones do not. So a run with `curate` calls it unproven until `prove-data` has
compared it with as many rows drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunewright.core.files import read_json
from tunewright.core.run import Run


def unproven(steps: Sequence[dict[str, Any]], run: Run) -> list[str]:
    """What the summary of `prepare` says about a choice of rows: that it is unproven, or what the proof found."""
    if not any(one["name"] == "curate" for one in steps):
        return []
    proof, started = run.path("proof", "proof.json"), run.path("prepare", "started.json")
    if proof.exists() and started.exists():
        found = read_json(proof)
        same = found.get("inputs") == read_json(started)["inputs"]
        told = [one["text"] for one in found["comparisons"] if one["first"] == "random_curate" and same]
        if told:
            return [f"proven before: {told[0]}"]
    return ["curate is unproven until tunewright prove-data compares it with as many random rows"]
