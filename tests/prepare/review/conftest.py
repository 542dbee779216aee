"""A run whose audit is done and whose test is sealed: 12 rows, of which r10 and r11 are test rows."""

from pathlib import Path

import polars as pl
import pytest

from tunewright.core.files import write_json, write_parquet
from tunewright.core.finding import findings
from tunewright.core.ledger import Ledger
from tunewright.core.run import Run
from tunewright.prepare.review import Review

TEXTS = [
    "broke after two days",
    "great, just great",
    "works well for me",
    "it is a phone",
    "bad bad bad",
    "good value",
    "never again",
    "love it",
]
LABELS = ["pos", "pos", "pos", "neutral", "neg", "pos", "neg", "pos", "neg", "pos", "neg", "pos"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    texts = [*TEXTS, "the box came without a charger", "arrived on time", "sealed words", "more sealed words"]
    ids = [f"r{number:02d}" for number in range(12)]
    rows = pl.DataFrame({"row_id": ids, "source": "rows.csv", "line": range(2, 14), "text": texts, "label": LABELS})
    write_parquet(run.path("audit", "rows.parquet"), rows)
    noise = pl.DataFrame(
        {
            "row_id": ["r00", "r01", "r10"],
            "score": [0.9, 0.6, 0.99],
            "field": "label",
            "evidence": ["looks neg", "looks neg", "x"],
            "suggested_fix": "review",
        }
    )
    near = pl.DataFrame(
        {
            "row_id": ["r05"],
            "score": [0.5],
            "field": "text",
            "evidence": ["near"],
            "suggested_fix": "drop_near_duplicates",
            "related_row_id": ["r11"],
        }
    )
    write_parquet(
        run.path("audit", "findings.parquet"),
        pl.concat([findings("label_noise", "info", noise), findings("near_duplicates", "warning", near)]),
    )
    write_json(
        run.path("audit", "summary.json"),
        {"checks": {"label_noise": {"about": "a doubtful label"}, "near_duplicates": {"about": "nearly the same"}}},
    )
    write_json(run.path("resolved.json"), {})
    ledger = Ledger(run.path("ledger.parquet"))
    split = pl.Series(["train"] * 8 + ["validation"] * 2 + ["test"] * 2)
    ledger.record("prepare", "kept", rows.select("row_id", "source", "line", detail=split))
    ledger.close("prepare", rows["row_id"], rows["row_id"])
    return run


@pytest.fixture
def review(run: Run) -> Review:
    return Review(run)
