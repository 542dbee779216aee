"""The model card, by Hugging Face's conventions: front matter that tools read, then the verdict, then everything else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from tunewright.core.files import read_json
from tunewright.core.optional import require
from tunewright.core.run import Run

BUNDLED = {"smollm2-135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}  # its name on the hub and its licence
HUB_METRICS = {"macro_f1": "f1", "accuracy": "accuracy"}


def model_card(run: Run, manifest: dict[str, Any], calibration: dict[str, Any], parity: dict[str, Any]) -> str:
    """README.md of the release that the other documents describe, from the files of `run`."""
    hub = require("huggingface_hub", "train")
    stages = {"results": "evaluate/results", "board": "tune/leaderboard", "prepared": "prepare/summary", "recipe": "resolved"}
    told = {name: read_json(run.path(f"{file}.json")) for name, file in stages.items()}
    title, file = run.directory.resolve().name, Path(told["recipe"]["data"]["path"]).name
    name = manifest["base_model"]["name"]
    base, license_id = BUNDLED.get(name, (Path(name).name if Path(name).exists() else name, "other"))
    scores = next(one["scores"] for one in told["results"]["systems"] if one["name"] == manifest["candidate"])
    measured = {metric: kind for metric, kind in HUB_METRICS.items() if metric in scores}
    where = {"task_type": "text-classification", "dataset_type": "private", "dataset_name": file, "dataset_split": "test"}
    front = hub.ModelCardData(
        model_name=title,
        base_model=base,
        license=license_id,
        license_name="that-of-the-base-model" if license_id == "other" else None,
        library_name="peft" if manifest["kind"] == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["tunewright", where["task_type"], manifest["technique"], f"{'' if manifest['approved'] else 'not-'}approved"],
        metrics=list(measured.values()),
        eval_results=[
            hub.EvalResult(metric_type=kind, metric_name=metric, metric_value=round(scores[metric], 4), **where)
            for metric, kind in measured.items()
        ],
    )
    template = files("tunewright.release").joinpath("model_card.md.j2").read_text(encoding="utf-8")
    shown = {
        "title": title,
        "file": file,
        "manifest": manifest,
        "verdict": run.verdict,
        "calibration": calibration,
        "parity": parity,
        **told,
    }
    return str(hub.ModelCard.from_template(front, template_str=template, **shown))
