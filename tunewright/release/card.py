"""The model card, by Hugging Face's conventions: front matter that tools read, then the verdict, then everything else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from tunewright.core.files import read_json
from tunewright.core.optional import require
from tunewright.core.run import Run

BUNDLED = {"smollm2-135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}  # its name on the hub and its licence
KINDS = {"base": "untuned model", "baseline": "baseline", "candidate": "tuned"}
HUB_METRICS = {"macro_f1": "f1", "accuracy": "accuracy"}


def model_card(run: Run, manifest: dict[str, Any]) -> str:
    """README.md of the release that `manifest` describes, from the files of `run`."""
    hub = require("huggingface_hub", "train")
    results, recipe = read_json(run.path("evaluate", "results.json")), read_json(run.path("resolved.json"))
    board, prepared = read_json(run.path("tune", "leaderboard.json")), read_json(run.path("prepare", "summary.json"))
    name = manifest["base_model"]["name"]
    scores = next(one["scores"] for one in results["systems"] if one["name"] == manifest["candidate"])
    hub_name, license_id = BUNDLED.get(
        name, (name.rstrip("/").rpartition("/")[2] if Path(name).exists() else name, "other")
    )
    data = hub.ModelCardData(
        model_name=run.directory.resolve().name,
        base_model=hub_name,
        license=license_id,
        license_name="that-of-the-base-model" if license_id == "other" else None,
        library_name="peft" if manifest["kind"] == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=[
            "tunewright",
            "text-classification",
            manifest["technique"],
            "approved" if manifest["approved"] else "not-approved",
        ],
        metrics=[kind for metric, kind in HUB_METRICS.items() if metric in scores],
        eval_results=[
            hub.EvalResult(
                task_type="text-classification",
                dataset_type="private",
                dataset_name=Path(recipe["data"]["path"]).name,
                dataset_split="test",
                metric_type=kind,
                metric_name=metric,
                metric_value=round(scores[metric], 4),
            )
            for metric, kind in HUB_METRICS.items()
            if metric in scores
        ],
    )
    card = hub.ModelCard.from_template(
        data,
        template_str=files("tunewright.release").joinpath("model_card.md.j2").read_text(encoding="utf-8"),
        name=run.directory.resolve().name,
        manifest=manifest,
        verdict=run.verdict,
        systems=sorted(results["systems"], key=lambda one: -(one["scores"].get(run.verdict["metric"]) or 0.0)),
        trained=next(one for one in board["candidates"] if one["name"] == manifest["candidate"]),
        prepared=prepared,
        rows={split: sum(counts.values()) for split, counts in prepared["counts"].items()},
        labels=prepared["labels"],
        file=Path(recipe["data"]["path"]).name,
        kinds=KINDS,
    )
    return str(card)
