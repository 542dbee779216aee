"""A finished run directory of made-up numbers, laid out as the run-directory contract says, for tests of the report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.files import append_jsonl, write_json, write_parquet
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.ledger import LEDGER_SCHEMA

LABELS = ["negative", "neutral", "positive"]
HOSTILE = "<script>alert('row')</script><img src=https://evil.example/x.png onerror=alert(1)>"
TEXTS = [
    ("It was a total waste of money and I returned it after two days.", "negative"),
    ("The battery is rated at 1200 mAh and it charges through a small adapter.", "neutral"),
    ("The sound is clear, the screen is bright and I love the small size.", "positive"),
    ("I would not say that it is bad, but the menu takes some time to learn.", "neutral"),
    (HOSTILE, "negative"),
]
SYSTEMS = [
    # name, kind, accuracy, macro_f1, half width, rows a second, perplexity, relative cost
    ("majority", "baseline", 0.4941, 0.2205, 0.008, 90_000.0, None),
    ("base_zero_shot", "base", 0.4822, 0.4673, 0.041, 3.1, 19.83),
    ("base_few_shot", "baseline", 0.5018, 0.4791, 0.042, 1.4, 3.47),
    ("nearest_neighbours", "baseline", 0.5327, 0.4876, 0.043, 41.0, None),
    ("tfidf_logreg", "baseline", 0.5932, 0.5241, 0.044, 21_000.0, None),
    ("embedding_logreg", "baseline", 0.6414, 0.5873, 0.043, 34.0, None),
    ("prompt_tuning", "candidate", 0.5611, 0.5094, 0.044, 3.0, 1.92),
    ("full", "candidate", 0.6109, 0.5419, 0.043, 3.1, 1.66),
    ("bottleneck", "candidate", 0.6873, 0.6124, 0.042, 2.8, 1.44),
    ("lora", "candidate", 0.7021, 0.6347, 0.041, 2.9, 1.41),
]
CANDIDATES = [
    # name, macro_f1, accuracy, loss, trainable, steps, best
    ("lora", 0.6412, 0.7093, 0.3127, 2_442_240, 148, 148),
    ("bottleneck", 0.6230, 0.6911, 0.3254, 1_119_360, 139, 96),
    ("full", 0.5566, 0.6204, 0.4431, 134_515_008, 41, 41),
    ("prompt_tuning", 0.5187, 0.5719, 0.5512, 11_520, 152, 152),
]


def make_run(directory: Path, verdict: str = "SHIP") -> Path:
    """Write every file that the report reads, without `done.json` of a stage being special to any other."""
    _recipe(directory)
    _audit(directory)
    _prepare(directory)
    _tune(directory)
    _evaluate(directory, verdict)
    _explain(directory)
    _release(directory, verdict)
    _evidence(directory)
    for number, stage in enumerate(("audit", "prepare", "tune", "evaluate", "explain", "release")):
        done = {
            "stage": stage,
            "seconds": [11.4, 6.2, 241.9, 88.3, 19.6, 17.1][number],
            "cpu_seconds": [15.1, 6.0, 470.2, 160.3, 20.0, 18.1][number],
            "peak_memory_bytes": [612e6, 655e6, 2.71e9, 1.43e9, 1.21e9, 1.36e9][number],
            "versions": {"tunewright": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.2"},
            "inputs": f"abc{number}def012345678",
            "finished": f"2026-11-21T10:0{number}:00+00:00",
            "machine": {"cores": 2, "processor": "x86_64", "system": "Linux"},
            "summary": [f"{stage} said this"],
            "failed": False,
        }
        write_json(directory / stage / "done.json", done)
        append_jsonl(directory / "events.jsonl", {"time": f"2026-11-21T10:0{number}:00.000+00:00", "event": "stage_done", **done})
    return directory


def _recipe(directory: Path) -> None:
    recipe = {
        "data": {"path": "/data/reviews.csv", "text": "text", "label": "label", "groups": ["review"], "where": {"domain": "amazon"}},
        "model": {"base": "smollm2-135m", "max_length": 512},
        "tune": {"minutes": 1.5, "seed": 17},
        "evaluate": {"metric": "macro_f1", "ship_if": {"relative_gain": 0.15, "confidence": 0.95}},
    }
    write_json(directory / "resolved.json", recipe)
    (directory / "recipe.yaml").write_text("data: {path: reviews.csv}\n", encoding="utf-8")


def _audit(directory: Path) -> None:
    lines: list[dict[str, Any]] = []
    for check, severity, count, fix in (
        ("near_duplicates", "warning", 37, "drop"),
        ("encoding_damage", "warning", 52, "repair"),
        ("conflicting_labels", "error", 6, "review"),
        ("label_noise", "info", 214, "review"),
        ("pii", "warning", 3, "redact"),
    ):
        for number in range(count):
            text, _ = TEXTS[(number + count) % len(TEXTS)]
            related = "r00dup" if check == "near_duplicates" else None
            lines.append(
                {"row_id": f"r{number:04d}", "check": check, "severity": severity, "score": 1 - number / (count + 1),
                 "field": "text", "evidence": text, "suggested_fix": fix, "related_row_id": related}
            )  # fmt: skip
    found = pl.DataFrame(lines, schema=FINDING_SCHEMA)
    write_parquet(directory / "audit" / "findings.parquet", found)
    checks = {
        name: {"about": f"what {name} is", "seconds": 0.25, "counts": {lines["severity"][0]: len(lines)}, "worst": lines.head(5).to_dicts()}
        for (name,), lines in found.group_by("check", maintain_order=True)
    }
    checks["short_text"] = {"about": "nothing found", "counts": {}, "worst": []}
    write_json(directory / "audit" / "summary.json", {"rows": 3708, "skipped": {}, "checks": checks})


def _prepare(directory: Path) -> None:
    counts = {"train": (1051, 742, 766), "validation": (226, 159, 164), "test": (225, 159, 172)}
    summary = {
        "labels": LABELS,
        "counts": {split: dict(zip(LABELS, found, strict=True)) for split, found in counts.items()},
        "steps": [
            {"name": "repair_text", "rows_in": 3708, "rows_out": 3708, "changed": 52, "reasons": {"html_entity": 40, "mojibake": 12}},
            {"name": "drop_exact_duplicates", "rows_in": 3708, "rows_out": 3690, "changed": 18, "reasons": {"exact_duplicate": 18}},
            {"name": "drop_near_duplicates", "rows_in": 3690, "rows_out": 3664, "changed": 26, "reasons": {"near_duplicate": 26}},
            {"name": "redact_pii", "rows_in": 3664, "rows_out": 3664, "changed": 3, "reasons": {"email": 3}},
        ],
        "split": {"train": 2559, "validation": 549, "test": 556},
    }
    write_json(directory / "prepare" / "summary.json", summary)
    write_json(directory / "prepare" / "seal.json", {"sha256": "5e41" * 16, "rows": 556, "openings": [{"purpose": "evaluate"}]})
    lines = [
        {"row_id": f"r{number:04d}", "source": "reviews.csv", "line": number + 2, "stage": stage, "action": action, "reason": reason}
        for stage, action, reason, count in (
            ("audit", "read", "", 3708), ("audit", "kept", "", 3706), ("audit", "quarantined", "ragged_line", 2),
            ("prepare", "fixed", "html_entity", 40), ("prepare", "dropped", "exact_duplicate", 18),
            ("prepare", "dropped", "near_duplicate", 26), ("prepare", "kept", "", 3664),
        )
        for number in range(count)
    ]  # fmt: skip
    write_parquet(directory / "ledger.parquet", pl.DataFrame(lines, schema=LEDGER_SCHEMA))


def _tune(directory: Path) -> None:
    rows = []
    for rank, (name, f1, accuracy, loss, trainable, steps, best) in enumerate(CANDIDATES):
        rows.append(
            {"name": name, "technique": name, "settings": {"learning_rate": 2e-4 * (rank + 1)},
             "validation": {"accuracy": accuracy, "macro_f1": f1, "loss": loss}, "best_step": best, "steps": steps, "epochs": 0.92,
             "rows_seen": steps * 16, "train_seconds": 88.7 + rank, "evaluation_seconds": 21.3, "trainable_parameters": trainable,
             "total_parameters": 134_515_008 + trainable, "peak_memory_bytes": 1_874_000_000 + rank * 10**8,
             "stopped_because": "the time budget is used up",
             "alarms": [] if rank != 3 else [{"name": "perplexity_paradox", "step": 152, "value": 0.5, "threshold": 0.51,
                                              "advice": "The loss fell but the task metric did not rise."}]}
        )  # fmt: skip
        history = directory / "tune" / name / "history.jsonl"
        for step in range(steps + 1):
            seconds = 88.7 * step / steps
            if step:
                wave = 0.13 * math.sin(step * 2.7) * math.exp(-step / steps)
                train = {"step": step, "loss": loss + 1.9 * math.exp(-5 * step / steps) + wave, "learning_rate": 2e-4, "grad_norm": 1.2}
                append_jsonl(history, {"kind": "train", **train, "epoch": step / 160, "rows": 16, "tokens": 320, "seconds": seconds})
            if step in (0, steps // 3, 2 * steps // 3, steps, best):
                share = 1 - math.exp(-4 * step / steps)
                look = {
                    "loss": 2.4 + (loss - 2.4) * share,
                    "accuracy": 0.48 + (accuracy - 0.48) * share,
                    "macro_f1": 0.46 + (f1 - 0.46) * share,
                }
                append_jsonl(history, {"kind": "validation", "step": step, **look, "seconds": 7.1})
    write_json(directory / "tune" / "leaderboard.json", {"metric": "macro_f1", "winner": "lora", "candidates": rows})


def _evaluate(directory: Path, verdict: str) -> None:
    systems = []
    for name, kind, accuracy, f1, half, rate, perplexity in SYSTEMS:
        base, right = [225, 159, 172], accuracy
        confusion = [
            [round(n * right) if row == column else round(n * (1 - right) / 2) for column in range(3)] for row, n in enumerate(base)
        ]
        systems.append(
            {"name": name, "kind": kind, "uses_model": name.startswith("base_") or kind == "candidate",
             "scores": {"accuracy": accuracy, "macro_f1": f1, "perplexity": perplexity},
             "intervals": {"accuracy": [accuracy - half, accuracy + half],
                           "macro_f1": [f1 - half, f1 + half]},
             "fit_seconds": 1.5, "seconds": 556 / rate, "rows_per_second": rate, "milliseconds_per_row": 1000 / rate, "confusion": confusion,
             "per_class": [{"label": label, "precision": right - 0.02, "recall": right, "f1": f1 + 0.1 - 0.1 * i, "support": base[i],
                            "predicted": base[i]} for i, label in enumerate(LABELS)]}
        )  # fmt: skip
    write_json(
        directory / "evaluate" / "results.json",
        {
            "metric": "macro_f1",
            "labels": LABELS,
            "rows": 556,
            "confidence": 0.95,
            "systems": systems[::-1],
            "comparisons": [
                {
                    "first": "base_zero_shot",
                    "second": "lora",
                    "difference": 0.1674,
                    "ci_low": 0.1163,
                    "ci_high": 0.2191,
                    "p_value": 0.0001,
                    "p_holm": 0.0002,
                    "minimum_detectable_difference": 0.0561,
                }
            ],
            "slices": [
                {"by": "label", "value": "negative", "rows": 225, "judged": True, "accuracy": {"base_zero_shot": 0.48, "lora": 0.71}}
            ],
            "notes": ["full: perplexity fell, yet macro_f1 did not rise."],
        },
    )
    passed = {"SHIP": True, "DON'T SHIP": False, "INCONCLUSIVE": None}[verdict]
    gates = [
        {
            "name": "beats_base",
            "passed": True,
            "value": 0.3582,
            "threshold": 0.15,
            "text": "macro_f1 0.635 against 0.467: 35.8% more, and at least 15.0% was asked for",
        },
        {
            "name": "beats_cheap_baselines",
            "passed": passed,
            "value": 0.0474,
            "threshold": 0.0,
            "text": "against embedding_logreg: difference +0.047, interval 0.006 to 0.089",
        },
        {
            "name": "adapter_changes_output",
            "passed": True,
            "value": 0.41,
            "threshold": 0.0,
            "text": "41% of the answers differ from the base model's",
        },
        {"name": "enough_test_rows", "passed": True, "value": 556, "threshold": 100, "text": "556 rows"},
    ]
    write_json(
        directory / "evaluate" / "verdict.json",
        {"verdict": verdict, "metric": "macro_f1", "baseline": "base_zero_shot", "candidate": "lora", "difference": 0.1674,
         "relative_gain": 0.3582, "ci_low": 0.1163, "ci_high": 0.2191, "p_value": 0.0001, "n": 556,
         "minimum_detectable_difference": 0.0561, "test_openings": 1, "gates": gates},
    )  # fmt: skip


def _explain(directory: Path) -> None:
    rows = []
    for number, (text, label) in enumerate(TEXTS):
        words = text.split()
        weights = [round(1.8 * math.sin(3 * place + number), 3) for place in range(len(words))]
        rows.append(
            {"row_id": f"r{number:04d}", "label": label, "predicted": LABELS[number % 3], "probability": 0.83 - 0.07 * number, "correct": LABELS[number % 3] == label,
             "words": words, "weights": weights, "sentence": f"It answered {LABELS[number % 3]} ({0.83 - 0.07 * number:.0%}) mostly because of “{words[0]}”."}
        )  # fmt: skip
    curve = [
        {
            "dropped": k,
            "rows": 5,
            "by_importance": -0.9 * k,
            "random": -0.25 * k,
            "difference": -0.65 * k,
            "ci_low": -0.8 * k,
            "ci_high": -0.5 * k,
        }
        for k in range(5)
    ]
    document = {"method": "occlusion", "model": "lora", "rows": rows, "faithfulness": {"rows": 5, "curve": curve, "text": "the words it names do matter"},
                "words": [{"word": "waste", "label": "negative", "weight": 1.9, "rows": 3}, {"word": "love", "label": "positive", "weight": 1.7, "rows": 2}]}  # fmt: skip
    write_json(directory / "explain" / "occlusion.json", document)


def _release(directory: Path, verdict: str) -> None:
    manifest = {"status": "APPROVED: SHIP." if verdict == "SHIP" else f"NOT APPROVED: {verdict}.", "approved": verdict == "SHIP", "verdict": verdict, "kind": "adapter", "technique": "lora", "base_model": {"name": "smollm2-135m", "fingerprint": "77aa10bb22cc33dd"},
                "files": [{"path": "adapter_model.safetensors", "bytes": 9_800_000, "sha256": "ab" * 32}]}  # fmt: skip
    write_json(directory / "release" / "manifest.json", manifest)
    write_json(directory / "release" / "parity.json", {"rows": 16, "largest_difference": 0.00021, "tolerance": 0.001, "same_answers": 16})


def _evidence(directory: Path) -> None:
    """Proof, learning curve and review log."""
    pair = {"second": "prepared", "p_value": 0.01, "rows_error": 0.01, "seeds_error": 0.01, "freedom": 8.0, "by_seed": [0.03, 0.04]}
    proof = {
        "system": "lora", "steps": 60, "seeds": 2, "metric": "macro_f1", "method": "paired by test row and seed",
        "test": {"split": "validation", "rows": 500, "groups": 43}, "inputs": "abc1def012345678", "seconds": 251.0, "notes": [],
        "removed": {"raw": 12, "prepared": 0},
        "arms": [
            {"name": name, "about": f"what {name} is", "rows": rows, "epochs": 0.2, "scores": [mean - 0.01, mean + 0.01], "mean": mean}
            for name, rows, mean in (("raw", 3909, 0.509), ("prepared", 2554, 0.584), ("random", 2554, 0.551))
        ],
        "comparisons": [
            {**pair, "first": "raw", "estimate": 0.075, "low": 0.04, "high": 0.111, "p_holm": 0.002, "detectable": 0.05,
             "text": "preparing the rows helped by +0.075"},
            {**pair, "first": "random", "estimate": 0.033, "low": -0.005, "high": 0.071, "p_holm": 0.08, "detectable": 0.055,
             "text": "preparing, against as many random raw rows made no difference that was shown"},
        ],
    }  # fmt: skip
    write_json(directory / "proof" / "proof.json", proof)
    sizes = (161, 323, 646, 1291, 2583)
    curve = {
        "system": "tfidf_logistic", "metric": "macro_f1", "test": {"split": "validation", "rows": 554, "groups": 43}, "rows": 2583,
        "points": [{"rows": n, "mean": 0.75 - 2 * n**-0.4, "scores": [0.74 - 2 * n**-0.4, 0.76 - 2 * n**-0.4]} for n in sizes],
        "fit": {"ceiling": 0.75, "amount": 2.0, "rate": 0.4},
        "curve": [{"rows": n, "score": 0.75 - 2 * n**-0.4, "low": 0.72 - 2 * n**-0.4, "high": 0.78 - 2 * n**-0.4} for n in (*sizes, 6000)],
        "inputs": "abc1def012345678", "story": ["at 2,583 rows the curve is at 0.664", "the next 1,000 rows would buy +0.011"],
    }  # fmt: skip
    write_json(directory / "curve" / "curve.json", curve)
    for number in range(40):
        append_jsonl(
            directory / "review" / "log.jsonl",
            {"row_id": f"r{number}", "action": "accept", "by": ["ann", "bo"][number % 2], "seconds": 9.0},
        )
    share = {"value": 0.8, "low": 0.62, "high": 0.91}
    table = [{"score_from": 0.5, "rows": 52, "precision": share, "recall": {"value": 0.4, "low": 0.1, "high": 0.9}}]
    one = {
        "flagged": 52,
        "unflagged": 3656,
        "judged": 40,
        "precision": share,
        "recall": table[0]["recall"],
        "strata": [],
        "thresholds": table,
    }
    checks = {"encoding_damage": one | {"suggested": table[0] | {"shown": False}, "disputed": 0}, "toxicity": one | {"suggested": None}}
    raters = {"raters": ["ann", "bo", HOSTILE[:20]], "units": 41}
    agreement = {
        "about": "labels",
        "coefficients": [{"name": "cohen_kappa", "value": 0.71, "low": 0.52, "high": 0.87, "units": 38, "raters": ["ann", "bo"]},
                         {"name": "krippendorff_alpha", "value": 0.64, "low": 0.47, "high": 0.79, **raters}],
        "confusion": {"ann / bo": {"negative": {"negative": 14, "neutral": 4}, "positive": {"positive": 20}}},
        "checks": {"label_noise": [{"name": "cohen_kappa", "value": None, "low": -1.0, "high": 1.0, "units": 3, "raters": ["ann", "bo"]}]},
    }  # fmt: skip
    write_json(directory / "review" / "agreement.json", agreement)
    write_json(directory / "review" / "calibration.json", {"at": "2026-11-21", "wanted_precision": 0.9, "checks": checks})
