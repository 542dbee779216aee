"""Reads a run directory into what the template shows. Nothing else is consulted, and a file that is not there leaves its part out.

The result is plain data: `{"name": "reviews", "verdict": {...} | None, "audit": ..., "prepare": ..., "tune": ..., "test": ..., ...}`.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.files import read_json, read_jsonl, read_parquet
from tunewright.report.charts import Curve, Scale

STAGES = ("audit", "prepare", "tune", "evaluate", "explain", "release")
EXAMPLES = 3
KINDS = {"base": "untuned model", "baseline": "baseline", "candidate": "tuned here"}
METRIC_NOTES = {
    "macro_f1": "Macro-F1 is the mean of every class's F1, so rare classes count as much as common ones.",
    "accuracy": "Accuracy is the share of right answers, so common classes count most.",
}
Json = dict[str, Any]


@dataclass(frozen=True)
class Files:
    """A run directory whose files may be missing."""

    directory: Path

    def json(self, name: str) -> Json:
        path = self.directory / name
        return dict(read_json(path)) if path.exists() else {}

    def lines(self, name: str) -> list[Json]:
        path = self.directory / name
        return read_jsonl(path) if path.exists() else []

    def frame(self, name: str) -> pl.DataFrame | None:
        path = self.directory / name
        return read_parquet(path) if path.exists() else None


def read_run(directory: Path) -> Json:
    """Everything the report says about the run in `directory`."""
    files = Files(directory)
    recipe, verdict, seal = (
        files.json(name) for name in ("resolved.json", "evaluate/verdict.json", "prepare/seal.json")
    )
    done = {stage: files.json(f"{stage}/done.json") for stage in STAGES}
    test = _test(files, verdict)
    view = {
        "name": directory.resolve().name,
        "recipe": recipe,
        "recipe_text": json.dumps(recipe, indent=2, ensure_ascii=False),
        "finished": max((one["finished"] for one in done.values() if "finished" in one), default=None),
        "done": done,
        "missing": [stage for stage in STAGES if not done[stage]],
        "versions": next((one["versions"] for one in reversed(done.values()) if "versions" in one), {}),
        "machine": next((one["machine"] for one in reversed(done.values()) if "machine" in one), {}),
        "command": f"tunewright run recipe.yaml --run {shlex.quote(str(directory))}",
        "verdict": verdict or None,
        "audit": _audit(files),
        "prepare": _prepare(files),
        "tune": _tune(files),
        "test": test,
        "explain": _explain(files),
        "release": files.json("release/manifest.json") or None,
        "parity": files.json("release/parity.json") or None,
        "seal": seal,
        "kinds": KINDS,
        "metric_notes": METRIC_NOTES,
        **_judged(recipe, verdict, test),
    }
    return {**view, "limits": limits(view)}


def _judged(recipe: Json, verdict: Json, test: Json | None) -> Json:
    """What the first screen needs beside the verdict itself: the two systems, the level of the interval, the gain asked for."""
    systems = {one["name"]: one for one in test["systems"]} if test else {}
    ship_if = recipe.get("evaluate", {}).get("ship_if", {})
    base = systems.get(verdict.get("baseline", ""), {})
    level = test["confidence"] if test else None
    asked, score = ship_if.get("relative_gain"), base.get("scores", {}).get(verdict.get("metric"))
    needed = asked * score if asked is not None and score is not None else None
    cheap = [one for one in systems.values() if one["kind"] == "baseline" and not one["uses_model"]][-1:]
    trio = [base, *cheap, systems[verdict["candidate"]]] if base and verdict["candidate"] in systems else []
    return {
        "trio": trio,
        "trio_scale": Scale.around([end for one in trio for end in one["interval"]], 5),
        "winner": systems.get(verdict.get("candidate", ""), {}),
        "base": base,
        "level": level,
        "level_digits": 0 if level is None or round(100 * level, 6).is_integer() else 1,
        "asked": asked,
        "needed": needed,
    }


def _audit(files: Files) -> Json | None:
    """Findings counted by check, the most serious first, each with its strongest examples."""
    found = files.frame("audit/findings.parquet")
    if found is None:
        return None
    order = {"error": 0, "warning": 1, "info": 2}
    summary = files.json("audit/summary.json")
    about = {name: one["about"] for name, one in summary.get("checks", {}).items()}
    checks = []
    for (check,), lines in found.group_by("check", maintain_order=True):
        fixes = lines["suggested_fix"].drop_nulls().value_counts(sort=True)
        examples = lines.filter(pl.col("evidence").is_not_null()).unique("evidence", maintain_order=True)
        checks.append(
            {
                "name": check,
                "about": about.get(str(check)),
                "severity": min(lines["severity"], key=lambda one: order.get(one, 3)),
                "rows": lines["row_id"].drop_nulls().n_unique(),
                "findings": len(lines),
                "fix": fixes["suggested_fix"][0] if len(fixes) else None,
                "examples": examples.sort("score", descending=True, nulls_last=True).head(EXAMPLES).to_dicts(),
            }
        )
    checks.sort(key=lambda one: (order.get(one["severity"], 3), -one["findings"]))
    rows = found["row_id"].drop_nulls().n_unique()
    return {"checks": checks, "findings": len(found), "rows": rows, "skipped": summary.get("skipped", {})}


def _prepare(files: Files) -> Json | None:
    """Steps, the split by label, and the ledger's totals by stage, action and reason."""
    summary, ledger = files.json("prepare/summary.json"), files.frame("ledger.parquet")
    totals: list[Json] = []
    if ledger is not None:
        grouped = ledger.group_by("stage", "action", pl.col("reason").fill_null(""), maintain_order=True).len("rows")
        totals = grouped.to_dicts()
    if not summary and not totals:
        return None
    counts: Json = summary.get("counts", {})
    sizes = {split: sum(by_label.values()) for split, by_label in counts.items()}
    read = sum(one["rows"] for one in totals if one["action"] in ("read", "added"))
    unwanted = sum(one["rows"] for one in totals if one["reason"] == "not_selected")
    left: dict[str, int] = {}
    for one in totals:
        if one["action"] in ("dropped", "quarantined") and one["reason"] != "not_selected":
            left[one["action"]] = left.get(one["action"], 0) + one["rows"]
    bar = [(split, rows, split) for split, rows in sizes.items()] + [
        (action, rows, "left") for action, rows in left.items()
    ]
    return {
        "summary": summary, "counts": counts, "sizes": sizes, "totals": totals, "read": read, "unwanted": unwanted, "bar": bar,
    }  # fmt: skip


def _tune(files: Files) -> Json | None:
    """The validation leaderboard with each candidate's curves over steps, on scales that all candidates share."""
    board = files.json("tune/leaderboard.json")
    if not board:
        return None
    keys = ("loss", board["metric"])
    for one in board["candidates"]:
        history = files.lines(f"tune/{one['name']}/history.jsonl")
        train = [
            (line["step"], line["loss"]) for line in history if line["kind"] == "train" and line["loss"] is not None
        ]
        one["train_curve"] = _smooth(train)
        for key in keys:
            looks = [
                (line["step"], line[key]) for line in history if line["kind"] == "validation" and line[key] is not None
            ]
            one[f"{key}_looks"] = looks
            one[f"{key}_said"] = ", ".join(f"{value:.3f} at step {step}" for step, value in looks)
            one[f"{key}_best"] = next((look for look in looks if look[0] == one.get("best_step")), None)
    candidates = sorted(board["candidates"], key=lambda one: -(one["validation"].get(board["metric"]) or 0.0))
    drawn = {key: [value for one in candidates for _, value in one[f"{key}_looks"]] for key in keys}
    drawn["loss"] += [value for one in candidates for _, value in one["train_curve"]]
    scales = {key: Scale.around(values, 4) for key, values in drawn.items()}
    scales["step"] = Scale.around(
        [0, *(step for one in candidates for step, _ in one["train_curve"] + one["loss_looks"])], 3, tight=True
    )
    alarms = [(one["name"], alarm) for one in candidates for alarm in one.get("alarms", [])]
    return {
        **board,
        "candidates": candidates,
        "drawn": keys,
        "scales": scales if drawn["loss"] else None,
        "alarms": alarms,
    }


def _smooth(points: list[tuple[float, float]], width: int = 9, most: int = 120) -> list[tuple[float, float]]:
    """A running mean over `width` steps, thinned to at most about `most` points: single batches are noise."""
    means = []
    for index, (step, _) in enumerate(points):
        near = [value for _, value in points[max(0, index - width // 2) : index + width // 2 + 1]]
        means.append((step, sum(near) / len(near)))
    return means[:: max(1, len(means) // most)]


def _test(files: Files, verdict: Json) -> Json | None:
    """Every system on the sealed test, worst first, and the two that the verdict compares with their confusion matrices."""
    results = files.json("evaluate/results.json")
    if not results:
        return None
    metric = results["metric"]
    systems = sorted(results["systems"], key=lambda one: one["scores"].get(metric) or 0.0)
    for one in systems:
        limits = one["intervals"].get(metric, {})
        one["interval"] = (limits.get("low"), limits.get("high"))
    ends = [end for one in systems for end in (one["scores"][metric], *one["interval"])]
    others = [name for name in systems[-1]["scores"] if name != metric] if systems else []
    pair = [one for name in ("candidate", "baseline") for one in systems if one["name"] == verdict.get(name)]
    for one in pair:
        one["matrix"] = [_shares(cells) for cells in one["confusion_matrix"]]
    return {**results, "systems": systems, "pair": pair, "scale": Scale.around(ends, 6), "other_metrics": others}


def _shares(cells: list[int]) -> list[Json]:
    """One row of a confusion matrix: rows, share of the row, and its shade from 0 to 10."""
    total = sum(cells) or 1
    return [{"rows": rows, "share": rows / total, "heat": round(10 * rows / total)} for rows in cells]


def _explain(files: Files) -> Json | None:
    """Explained rows with each word's shade (three steps, relative to the strongest word of its row) and the deletion curve."""
    found = files.json("explain/occlusion.json")
    if not found:
        return None
    for row in found["rows"]:
        most = max((abs(weight) for weight in row["weights"]), default=0.0) or 1.0
        row["marked"] = [
            (word, _shade(weight / most), weight) for word, weight in zip(row["words"], row["weights"], strict=True)
        ]
    curve = found.get("faithfulness", {}).get("curve", [])
    ours = [(one["dropped"], one["by_importance"]) for one in curve]
    chance = [(one["dropped"], one["random"]) for one in curve]
    band = [(one["dropped"], one["random"] + one["ci_low"], one["random"] + one["ci_high"]) for one in curve]
    found["curves"] = [Curve(chance, "faint", dots=True, band=band), Curve(ours, "winner", dots=True)]
    found["x"] = Scale.around([0, *(one["dropped"] for one in curve)], 5, tight=True)
    found["y"] = Scale.around(
        [0.0, *(value for _, value in ours + chance), *(end for _, *ends in band for end in ends)], 4
    )
    return found


def _shade(share: float) -> str:
    """CSS classes of a word whose weight is `share` (-1..1) of the strongest; none for a word that hardly matters."""
    step = next((step for step, least in ((3, 0.66), (2, 0.33), (1, 0.12)) if abs(share) >= least), 0)
    return f"{'for' if share > 0 else 'against'} h{step}" if step else ""


def limits(view: Json) -> list[str]:
    """What a reader must not conclude from this run, as far as the run directory tells."""
    verdict, test = view["verdict"], view["test"]
    said = [f"{stage}: it has not finished in this run." for stage in view["missing"]]
    if verdict:
        said.append(
            f"Differences under {verdict['minimum_detectable_difference']:.3f} cannot be seen with {verdict['n']:,} test rows."
        )
    if view["tune"]:
        said.append(
            "Each technique was trained once, with one seed: another seed moves every score by an amount not measured here."
        )
    if test:
        said.append(
            "Times are of this machine and of rows in batches; a service that answers one row at a time is slower for each row."
        )
        said.append(
            "The test rows come from the same source as the training rows: other sources and later months are not covered."
        )
    said.append(
        "Not looked at: fairness between groups of people, robustness to attacks, and what else the model can still do."
    )
    return said
