"""Reads a run directory into what the template shows. Nothing else is consulted, and a file that is not there leaves its part out.

The result is plain data: `{"name": "reviews", "verdict": {...} | None, "audit": ..., "prepare": ..., "tune": ..., "test": ..., ...}`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.files import read_json, read_jsonl, read_parquet
from tunewright.core.finding import SEVERITIES
from tunewright.report.bias import bias
from tunewright.report.charts import Curve, Scale
from tunewright.report.effort import effort

STAGES = ("audit", "prepare", "tune", "evaluate", "explain", "release")
READERS = {".json": read_json, ".jsonl": read_jsonl, ".parquet": read_parquet}
Json = dict[str, Any]


def read_run(directory: Path) -> Json:
    """Everything the report says about the run in `directory`."""

    def read(name: str) -> Any:
        path = directory / name
        return READERS[path.suffix](path) if path.exists() else None

    done = {stage: read(f"{stage}/done.json") or {} for stage in STAGES}
    recipe, verdict, test = read("resolved.json"), read("evaluate/verdict.json"), read("evaluate/results.json")
    audit, proof = read("audit/summary.json"), read("proof/proof.json")
    board, summary, explained = (read(f"{name}.json") for name in ("tune/leaderboard", "prepare/summary", "explain/occlusion"))
    return {
        "name": directory.resolve().name,
        "directory": shlex.quote(str(directory)),
        "recipe": recipe,
        "done": done,
        "missing": [stage for stage in STAGES if not done[stage]],
        "last": max(done.values(), key=lambda one: str(one.get("finished", ""))),
        "verdict": verdict,
        "audit": audit and _audit(audit),
        "bias": bias(directory, audit),
        "prepare": summary and _prepare(summary, read("ledger.parquet")),
        "proof": proof and _proof(proof, done["prepare"]),
        "curve": _curve(read("curve/curve.json"), done["prepare"]),
        "unproven": _unproven(summary, proof, done["prepare"]),
        "calibration": read("review/calibration.json"),
        "decisions": _decisions(read("review/log.jsonl")),
        "agreement": read("review/agreement.json"),
        "effort": effort(read("events.jsonl") or [], read("review/log.jsonl") or []),
        "tune": board and _tune(board, {one["name"]: read(f"tune/{one['name']}/history.jsonl") for one in board["candidates"]}),
        "test": test and _test(test, verdict or {}, recipe or {}, board or {"candidates": []}),
        "explain": explained and _explain(explained),
        "release": read("release/manifest.json"),
        "parity": read("release/parity.json"),
        "exports": read("release/parity_exports.json"),
        "probabilities": read("release/calibration.json"),
        "seal": read("prepare/seal.json"),
    }


def _audit(summary: Json) -> Json:
    """The checks that found something by severity, the most serious and frequent first; and those that found nothing."""
    checks = [{"name": name, "total": sum(one["counts"].values()), **one} for name, one in summary["checks"].items()]
    for one in checks:
        one["severity"] = max(one["counts"], key=SEVERITIES.index, default="")
        one["number"] = one["counts"].get(one["severity"], 0)
    by = {
        severity: sorted((one for one in checks if one["severity"] == severity), key=lambda one: -one["number"])
        for severity in reversed(SEVERITIES)
    }
    return {
        **summary,
        "by": {severity: some for severity, some in by.items() if some},
        "serious": [one for severity, some in by.items() if severity != "info" for one in some],
        "found": [one for some in by.values() for one in some],
        "clean": [one["name"] for one in checks if not one["counts"]],
        "total": sum(one["total"] for one in checks),
        "tally": {severity: count for severity in reversed(SEVERITIES) if (count := sum(one["counts"].get(severity, 0) for one in checks))},
        "seconds": sum(one.get("seconds") or 0.0 for one in checks),
    }


def _proof(proof: Json, prepared: Json) -> Json:
    """Each comparison of the proof with its colour; `stale` when the rows have been prepared anew since."""
    for one in proof["comparisons"]:
        shown = one["p_holm"] <= 0.05
        one["css"] = "good" if shown and one["low"] > 0 else "bad" if shown and one["high"] < 0 else "unsure"
    return {**proof, "stale": _stale(proof, prepared)}


def _curve(found: Json | None, prepared: Json) -> Json | None:
    """The learning curve with its fit, on scales that hold both."""
    if found is None:
        return None
    points = [(point["rows"], score) for point in found["points"] for score in point["scores"]]
    fitted = [(one["rows"], one["score"]) for one in found["curve"]]
    band = [(one["rows"], one["low"], one["high"]) for one in found["curve"]]
    means = ", ".join(f"{one['mean']:.3f} with {one['rows']:,} rows" for one in found["points"])
    return {
        **found,
        "stale": _stale(found, prepared),
        "lines": [Curve(fitted, "faint", band=band), Curve(points, "winner bare", dots=True)],
        "x": Scale.around([0, *(rows for rows, _ in fitted)], 5, tight=True),
        "y": Scale.around([value for _, *values in (*points, *band) for value in values], 5),
        "said": f"{found['metric']} {means}",
    }


def _stale(found: Json, prepared: Json) -> bool:
    return bool(prepared) and found.get("inputs") != prepared.get("inputs")


def _decisions(log: list[Json] | None) -> Json | None:
    """How often reviewers did what, the most frequent first."""
    counts: dict[str, int] = {}
    for one in log or []:
        counts[one["action"]] = counts.get(one["action"], 0) + 1
    return dict(sorted(counts.items(), key=lambda one: -one[1])) or None


def _unproven(summary: Json | None, proof: Json | None, prepared: Json) -> list[str]:
    """Steps that chose or made training rows and have not been compared with chance."""
    named = [one["name"] for one in (summary or {}).get("steps", [])]
    fresh = proof is not None and not _stale(proof, prepared)
    compared = {one["first"] for one in proof["comparisons"]} if fresh and proof else set()
    return [name for name, rival in (("curate", "random_curate"),) if name in named and rival not in compared]


def _prepare(summary: Json, ledger: pl.DataFrame | None) -> Json:
    """The ledger's totals by stage, action and reason, and where the rows that the recipe asked for went."""
    keys = ["stage", "action", pl.col("reason").fill_null("")]
    totals = [] if ledger is None else ledger.group_by(keys, maintain_order=True).len("rows").to_dicts()
    bar = [(split, sum(labels.values()), split) for split, labels in summary["counts"].items()]
    for action in ("dropped", "quarantined"):
        left = [one["rows"] for one in totals if one["action"] == action and one["reason"] != "not_selected"]
        bar += [(action, sum(left), "left")] if left else []
    rows = {name: sum(one["rows"] for one in totals if name in (one["action"], one["reason"])) for name in ("read", "not_selected")}
    return {**summary, "totals": totals, "bar": bar, "sizes": {name: rows for name, rows, _ in bar}, **rows}


def _tune(board: Json, histories: dict[str, list[Json] | None]) -> Json:
    """Each candidate's curves over steps, on scales that all candidates share."""
    keys, drawn, steps = ("loss", board["metric"]), dict[str, list[float]](), [0]
    for one in board["candidates"]:
        history = histories[one["name"]] or []
        one["train_curve"] = _smooth([(line["step"], line["loss"]) for line in history if line["kind"] == "train" and line["loss"]])
        for key in keys:
            looks = [(line["step"], line[key]) for line in history if line["kind"] == "validation" and line[key] is not None]
            one[key] = {"looks": looks, "best": next((look for look in looks if look[0] == one["best_step"]), None)}
            one[key]["said"] = ", ".join(f"{value:.3f} at step {step}" for step, value in looks)
            curve = looks + (one["train_curve"] if key == "loss" else [])
            drawn.setdefault(key, []).extend(value for _, value in curve)
            steps += [step for step, _ in curve]
    scales = {key: Scale.around(values, 4) for key, values in drawn.items()} | {"step": Scale.around(steps, 3, tight=True)}
    alarms = [(one["name"], alarm) for one in board["candidates"] for alarm in one["alarms"]]
    return {**board, "drawn": keys if drawn["loss"] else (), "scales": scales, "alarms": alarms}


def _smooth(points: list[tuple[float, float]], width: int = 9, most: int = 120) -> list[tuple[float, float]]:
    """A running mean over `width` steps, thinned to at most about `most` points: single batches are noise."""
    means = []
    for index, (step, _) in enumerate(points):
        near = [value for _, value in points[max(0, index - width // 2) : index + width // 2 + 1]]
        means.append((step, sum(near) / len(near)))
    return means[:: max(1, len(means) // most)]


def _test(results: Json, verdict: Json, recipe: Json, board: Json) -> Json:
    """Every system on the sealed test, best first; the untuned one, the winner and the best cheap one between them."""
    metric, by_name = results["metric"], {one["name"]: one for one in results["systems"]}
    for one in board["candidates"]:
        by_name.get(one["name"], {})["fit_seconds"] = one["train_seconds"]
    for one in results["systems"]:
        one["interval"] = one["intervals"].get(metric, (None, None))
        one["matrix"] = [_shares(cells) for cells in one["confusion"]]
    pair = [by_name[verdict[key]] for key in ("candidate", "baseline") if verdict.get(key) in by_name]
    cheap = [one for one in results["systems"] if one["kind"] == "baseline" and not one["uses_model"]][:1]
    trio = [pair[1], *cheap, pair[0]] if len(pair) == 2 else []
    asked = recipe.get("evaluate", {}).get("ship_if", {}).get("relative_gain")
    scales = [
        Scale.around([end for one in some for end in (one["scores"][metric], *one["interval"])], 6) for some in (results["systems"], trio)
    ]
    others = [name for name in results["systems"][0]["scores"] if name != metric]
    needed = asked * pair[1]["scores"][metric] if asked is not None and len(pair) == 2 else None
    return {
        **results,
        "pair": pair,
        "trio": trio,
        "scale": scales[0],
        "trio_scale": scales[1],
        "others": others,
        "asked": asked,
        "needed": needed,
    }


def _shares(cells: list[int]) -> list[Json]:
    """One row of a confusion matrix: rows, share of the row, and its shade from 0 to 10."""
    total = sum(cells) or 1
    return [{"rows": rows, "share": rows / total, "heat": round(10 * rows / total)} for rows in cells]


def _explain(found: Json) -> Json:
    """Explained rows with each word's shade (three steps, relative to the strongest word of its row) and the deletion curve."""
    for row in found["rows"]:
        most = max(map(abs, row["weights"]), default=0.0) or 1.0
        row["marked"] = [(word, _shade(weight / most), weight) for word, weight in zip(row["words"], row["weights"], strict=True)]
    curve = found["faithfulness"]["curve"]
    ours, chance = ([(one["dropped"], one[key]) for one in curve] for key in ("by_importance", "random"))
    band = [(one["dropped"], one["random"] + one["ci_low"], one["random"] + one["ci_high"]) for one in curve if one["ci_low"] is not None]
    found["curves"] = [Curve(chance, "faint", dots=True), Curve(ours, "winner", dots=True, band=band)]
    found["x"] = Scale.around([0, *(one["dropped"] for one in curve)], 5, tight=True)
    found["y"] = Scale.around([0.0, *(value for _, *values in (*ours, *chance, *band) for value in values)], 4)
    return found


def _shade(share: float) -> str:
    """CSS classes of a word whose weight is `share` (-1..1) of the strongest; none for a word that hardly matters."""
    step = next((step for step, least in ((3, 0.66), (2, 0.33), (1, 0.12)) if abs(share) >= least), 0)
    return f"{'for' if share > 0 else 'against'} h{step}" if step else ""
