"""Evidently's word on the windows of `benchmarks/drift.py`; runs in an environment of its own (pip install evidently 'pandas<3' pyarrow)."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main(folder: Path) -> None:
    rows = pd.read_parquet(folder / "pairs.parquet")
    columns = DataDefinition(text_columns=["text"], numerical_columns=["letters", "confidence"], categorical_columns=["label"])
    said = []
    for _, pair in rows.groupby("pair", sort=True):
        before, now = (Dataset.from_pandas(part.drop(columns=["pair", "now"]), columns) for part in (pair[~pair["now"]], pair[pair["now"]]))
        told = json.loads(Report([DataDriftPreset()]).run(now, before).json())
        count = next(
            one["value"] for one in told["metrics"] if "DriftedColumnsCount" in json.dumps(one.get("metric_name", one.get("metric_id", "")))
        )
        said.append({"any_column": count["count"] > 0, "dataset": count["share"] >= 0.5, "columns": count["count"]})
    (folder / "evidently.json").write_text(json.dumps({"version": version("evidently"), "windows": said}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
