"""How soon drift is found, and how often the alarm is false: the monitor beside PSI > 0.2, ADWIN alone and Evidently, on the same requests.

    python benchmarks/drift.py                                         # writes benchmarks/results/drift.json
    python benchmarks/drift.py --evidently /tmp/evidently/bin/python   # beside Evidently, in an environment of its own:
                                                                       # pip install evidently 'pandas<3' pyarrow

The model is a fast stand-in for a language model (TF-IDF and logistic regression, `tunewright/testing/stand_in.py`): half a million answers would take a
135M model hours. What it is wrong about differs; how the monitor reads it does not. It learns 1,000 reviews; 400 others are the release's reference, as
many as a release keeps; the rest are requests. Every seed deals the rows anew.

No drift: fresh reviews, dealt in four ways. An alarm is any signal beyond its threshold in a window; an alert is the same signal two windows in a row.
Rates come with 95% intervals that know which windows share a seed (Korn-Graubard).

    rows       sentences at random: those of one review stand on both sides, nothing belongs together
    callers    whole reviews on one side each; a review is a caller that sends its sentences one after the other, and the monitor knows callers and groups
    mixed      whole reviews on one side each, requests in random order, each from a caller of its own; only the reference has groups
    unknown    as `callers`, but every request comes through one gateway: the monitor cannot know what belongs together

Drift, after 500 requests without: other domains (tweets, film reviews, editorials), at once or mixed in; words, length, labels and languages
changed by hand. Delay: requests from the first changed one to the end of the window (ADWIN: the request) that alarms. Streams end when the
reviews are used up, about 1,800 requests later.

    monitor       any signal of inputs and outputs (no labels), at false_alarms 0.01 for each of the two families
    psi           population stability index > 0.2 of length, confidence or answered label; ten bins by the reference's deciles
    adwin         river's ADWIN, delta 0.002, on the confidence of each answer, after the reference's
    evidently     its DataDriftPreset on text, length, confidence and label: any column drifted, or its own word for the data set (half of the columns)
    labels        the monitor's accuracy and ADWIN on mistakes, when every fifth request gets a label at once
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

from tunewright.core.loop import MonitorSettings  # noqa: E402
from tunewright.core.statistics import proportion  # noqa: E402
from tunewright.monitor.cohorts import with_maturity  # noqa: E402
from tunewright.monitor.estimate import estimate  # noqa: E402
from tunewright.monitor.measure import Measurer  # noqa: E402
from tunewright.monitor.reference import load_reference  # noqa: E402
from tunewright.monitor.rows import COLUMNS  # noqa: E402
from tunewright.testing.stand_in import StandIn  # noqa: E402

HERE = Path(__file__).parent
ROOT = HERE.parent
LEARNT, REFERENCE, BEFORE = 1000, 400, 500
DRIFTING = ("input", "output")
EVIDENTLY = {
    "window": 500,
    "calm seeds": 10,
    "drift seeds": 2,
    "longest": 1000,
}  # its text test takes many seconds: it gets these windows only
NEW_WORDS = ("zorbex", "quilfane", "myrtox", "brandle", "vexitol", "ouranix")
FOREIGN = (  # written for this benchmark
    "Der Akku hält nicht lange und das Gerät wird beim Laden sehr heiß.",
    "Die Verarbeitung ist ausgezeichnet, ich würde es sofort wieder kaufen.",
    "Leider kam das Paket beschädigt an und der Kundendienst meldet sich nicht.",
    "Ein solides Produkt, das genau das macht, was es verspricht.",
    "Het scherm is heel helder, maar het geluid valt erg tegen.",
    "Na twee weken ging het al kapot, ik ben er niet blij mee.",
    "La batería dura muy poco y la pantalla se raya con facilidad.",
    "Estoy muy contento con la compra, funciona mejor de lo que esperaba.",
    "El manual no explica cómo conectar los altavoces al televisor.",
    "Le son est excellent et l'installation ne prend que cinq minutes.",
    "Je ne recommande pas cet appareil, il est tombé en panne tout de suite.",
    "Il telefono è leggero e comodo, però la fotocamera delude un po'.",
)
Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]


def reviews() -> pl.DataFrame:
    rows = pl.read_csv(ROOT / "examples/reviews/reviews.csv")
    return rows.select(row_id="id", text="text", label="label", group="review").with_columns(domain=pl.lit("amazon"))


def others() -> pl.DataFrame:
    rows = pl.read_csv(ROOT / "examples/drift/rows.csv")
    return rows.select(row_id="id", text="text", label="label", group="id", domain="domain")


def dealt(rows: pl.DataFrame, seed: int, by: str = "row_id") -> pl.DataFrame:
    """The rows in random order; those of one `by` stay together."""
    keys = rows[by].unique().sort().sample(fraction=1, shuffle=True, seed=seed)
    order = pl.DataFrame({by: keys, "place": np.arange(len(keys))})
    return rows.join(order, on=by).sort("place", maintain_order=True).drop("place")


class Stage:
    """A model, its packed reference and fresh rows for one seed."""

    def __init__(self, rows: pl.DataFrame, seed: int, folder: Path, window: int, way: str = "rows") -> None:
        own = dealt(rows, seed, "row_id" if way == "rows" else "group")
        self.way, self.reference = way, own[LEARNT : LEARNT + REFERENCE].drop(*(["group"] if way == "rows" else []))
        self.model = StandIn.fit(own[:LEARNT]).calibrated(self.reference)
        self.fresh = own[LEARNT + REFERENCE :] if way != "mixed" else own[LEARNT + REFERENCE :].sample(fraction=1, shuffle=True, seed=seed)
        self.chance = np.random.default_rng(seed)
        self.told = self.model.answer(self.reference["text"].to_list())
        self.right = (self.told["label"] == self.reference["label"]).to_numpy()
        release = self.model.pack(
            folder / f"{seed}-{window}-{way}", self.reference, {"monitor": {"window": window}, "serve": {"traffic": {"keep": "text"}}}
        )
        self.measurer = Measurer(load_reference(release, "stand-in@0"))

    def answered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows as requests, with their true label."""
        own = rows.select("text", truth_="label", group="group" if self.way == "callers" else pl.lit(None, pl.String)).hstack(
            self.model.answer(rows["text"].to_list()).drop("probabilities")
        )
        own = own.with_columns(
            id=pl.format("q{}", pl.int_range(pl.len())), status=pl.lit(200), seconds=pl.lit(0.1), endpoint=pl.lit("classify")
        )
        own = own.with_columns(pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in own.columns)
        return own.select(*(pl.col(name).cast(kind) for name, kind in COLUMNS.items()), "truth_")


def no_drift(rows: pl.DataFrame, seeds: int, window: int, way: str, folder: Path, keep: list[Any]) -> dict[str, Any]:
    """False alarms of every method on fresh rows of the same source."""
    alarms: list[dict[str, Any]] = []
    began = time.process_time()
    for seed in range(seeds):
        stage = Stage(rows, seed, folder, window, way)
        requests = stage.answered(stage.fresh)
        earlier: set[str] = set()
        found_at = adwin(stage, requests)
        for number in range(len(requests) // window):
            part = requests[number * window : (number + 1) * window]
            said = stage.measurer.window(part.drop("truth_"), confidences=requests["confidence"][: number * window].to_numpy())
            beyond = {name for name, one in said.decided.items() if one.alarm}
            line = {"seed": seed, "signals": sorted(beyond), "alert": bool(beyond & earlier)}
            line |= {family: any(said.decided[one].family == family for one in beyond) for family in DRIFTING}
            line["monitor"] = line["input"] or line["output"]
            line["psi"] = psi(stage, part)
            line["adwin"] = any(number * window <= one < (number + 1) * window for one in found_at)
            alarms.append(line)
            earlier = beyond
            if way == "rows" and window == EVIDENTLY["window"] and seed < EVIDENTLY["calm seeds"]:
                keep.append(pair(stage, part, {"kind": "no drift", "window": window, "seed": seed}))
    seconds = (time.process_time() - began) / len(alarms)
    return {
        "window": window,
        "dealt": way,
        "windows": len(alarms),
        "seeds": seeds,
        "cpu_seconds_a_window": round(seconds, 3),
        **rates(alarms, window),
    }


def rates(alarms: list[dict[str, Any]], window: int) -> dict[str, Any]:
    """Share of windows with an alarm for each method, with its interval, and alarms for 10,000 requests."""
    groups = np.array([one["seed"] for one in alarms])
    found: dict[str, Any] = {}
    for name in ("input", "output", "monitor", "alert", "psi", "adwin"):
        hits = np.array([float(one[name]) for one in alarms])
        one = proportion(hits, groups)
        found[name] = {"rate": one.estimate, "low": one.low, "high": one.high, "per_10000_requests": one.estimate * 10_000 / window}
    names = [name for one in alarms for name in one["signals"]]
    return {"methods": found, "by_signal": {name: names.count(name) / len(alarms) for name in sorted(set(names))}}


def psi(stage: Stage, part: pl.DataFrame) -> bool:
    """The usual rule: ten bins by the reference's deciles, shares of 0 raised to 0.0001, alarm above 0.2."""
    columns = [
        (stage.reference["text"].str.len_chars().to_numpy(), part["text"].str.len_chars().to_numpy()),
        (stage.told["confidence"].to_numpy(), part["confidence"].to_numpy()),
    ]
    mixes = [_binned(before, now) for before, now in columns]
    labels = stage.model.labels
    mixes.append(
        tuple(np.array([(one == label).mean() for label in labels]) for one in (stage.told["label"].to_numpy(), part["label"].to_numpy()))
    )
    return any(_psi(*one) > 0.2 for one in mixes)


def _binned(before: Any, now: Any) -> tuple[Any, Any]:
    edges = np.unique(np.quantile(before, np.linspace(0.1, 0.9, 9)))
    return tuple(np.bincount(np.searchsorted(edges, one, side="right"), minlength=len(edges) + 1) / len(one) for one in (before, now))  # type: ignore[return-value]


def _psi(before: Any, now: Any) -> float:
    before, now = np.maximum(before, 1e-4), np.maximum(now, 1e-4)
    return float(((now - before) * np.log(now / before)).sum())


def adwin(stage: Stage, requests: pl.DataFrame) -> list[int]:
    """Requests at which ADWIN on the confidences finds a change."""
    from river.drift import ADWIN

    detector = ADWIN(delta=0.002)
    for value in np.random.default_rng(17).permutation(stage.told["confidence"].to_numpy()):
        detector.update(float(value))
    found = []
    for index, value in enumerate(requests["confidence"]):
        detector.update(float(value))
        if detector.drift_detected:
            found.append(index)
    return found


def scenarios(other: pl.DataFrame) -> dict[str, Change]:
    """What changes in the rows that come after the calm ones."""

    def domain(name: str, share: float) -> Change:
        def change(rows: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
            pool = other.filter(domain=name)
            taken = pool[chance.permutation(len(pool))[: len(rows)]]
            kept = rows[: len(taken)]
            swap = pl.Series(chance.random(len(kept)) < share)
            return pl.concat([kept.with_row_index().filter(~swap), taken.with_row_index().filter(swap)]).sort("index").drop("index")

        return change

    def edited(share: float, edit: Callable[[str, np.random.Generator], str]) -> Change:
        def change(rows: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
            texts = [edit(text, chance) if chance.random() < share else text for text in rows["text"]]
            return rows.with_columns(text=pl.Series(texts))

        return change

    def new_word(text: str, chance: np.random.Generator) -> str:
        words = text.split()
        words[int(chance.integers(len(words)))] = NEW_WORDS[int(chance.integers(len(NEW_WORDS)))]
        return " ".join(words)

    def flipped(rows: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
        swapped = pl.col("label").replace({"positive": "negative", "negative": "positive"})
        return rows.with_columns(label=pl.when(pl.Series(chance.random(len(rows)) < 0.3)).then(swapped).otherwise("label"))

    return {
        "tweets": domain("tweets", 1.0),
        "film reviews": domain("movies", 1.0),
        "editorials": domain("nyt", 1.0),
        "30% tweets": domain("tweets", 0.3),
        "10% tweets": domain("tweets", 0.1),
        "30% film reviews": domain("movies", 0.3),
        "a new word in 10% of the texts": edited(0.1, new_word),
        "texts cut to half their words": edited(1.0, lambda text, _: " ".join(text.split()[: max(1, len(text.split()) // 2)])),
        "10% in other languages": edited(0.1, lambda _, chance: FOREIGN[int(chance.integers(len(FOREIGN)))]),
        "30% of the labels flipped": flipped,
    }


def delays(rows: pl.DataFrame, other: pl.DataFrame, seeds: int, window: int, folder: Path, keep: list[Any]) -> dict[str, Any]:
    """Requests from the first changed one to the alarm, for each scenario and method; None where the stream ended first."""
    found: dict[str, Any] = {}
    for name, change in scenarios(other).items():
        lines = []
        for seed in range(seeds):
            stage = Stage(rows, 1000 + seed, folder, window)
            calm = stage.fresh[:BEFORE]
            pool = stage.fresh[BEFORE:]
            changed = change(pool, stage.chance)
            requests = stage.answered(pl.concat([calm, changed.select(calm.columns)]))
            lines.append(_delays(stage, requests, window, keep, name, seed))
        found[name] = {method: _summary([one[method] for one in lines]) for method in lines[0]}
        print(
            f"  window {window}, {name}: "
            + ", ".join(f"{method} {one['found']}/{seeds} {one['median']}" for method, one in found[name].items()),
            flush=True,
        )
    return found


def _delays(stage: Stage, requests: pl.DataFrame, window: int, keep: list[Any], name: str, seed: int) -> dict[str, int | None]:
    first: dict[str, int | None] = dict.fromkeys(("monitor", "alert", "psi", "adwin", "labels"))
    first["adwin"] = next((one - BEFORE + 1 for one in adwin(stage, requests) if one >= BEFORE), None)
    earlier: set[str] = set()
    labels = requests.with_row_index().filter(pl.col("index") % 5 == 0)
    for end in range(BEFORE + window, len(requests) + 1, window):
        part = requests[end - window : end]
        delay = end - BEFORE
        if first["alert"] is None:
            said = stage.measurer.window(part.drop("truth_"), confidences=requests["confidence"][: end - window].to_numpy())
            beyond = {key for key, one in said.decided.items() if one.alarm and one.family in DRIFTING}
            first["monitor"] = first["monitor"] or (delay if beyond else None)
            first["alert"] = delay if beyond & earlier else None
            earlier = beyond
        if first["psi"] is None and psi(stage, part):
            first["psi"] = delay
        if first["labels"] is None:
            looked = stage.measurer.look(_labelled(labels.filter(pl.col("index") < end)))
            first["labels"] = delay if any(one.alarm for one in looked.decided.values()) else None
        if window == EVIDENTLY["window"] and seed < EVIDENTLY["drift seeds"] and delay <= EVIDENTLY["longest"]:
            keep.append(pair(stage, part, {"kind": name, "window": window, "seed": seed, "delay": delay}))
    return first


def _labelled(rows: pl.DataFrame) -> pl.DataFrame:
    now = datetime.now(UTC)
    begin = now - timedelta(days=30)
    told = rows.select("id", "label", truth="truth_", time=pl.lit(begin) + pl.duration(seconds=pl.col("index")), sampled=pl.lit("uniform"))
    return with_maturity(told.with_columns(right=pl.col("label") == pl.col("truth")), MonitorSettings.model_validate({}), now)


def _summary(found: list[int | None]) -> dict[str, Any]:
    hits = sorted(one for one in found if one is not None)
    median = None if len(hits) * 2 <= len(found) else sorted(10**9 if one is None else one for one in found)[len(found) // 2]
    return {"found": len(hits), "of": len(found), "median": median, "worst": hits[-1] if len(hits) == len(found) else None}


def estimators(rows: pl.DataFrame, other: pl.DataFrame, seeds: int, folder: Path) -> dict[str, Any]:
    """Mean absolute error, in points, of accuracy estimated without labels on windows of 500; and the real fall in accuracy."""
    found: dict[str, dict[str, float]] = {}
    for name in ("amazon", "tweets", "movies", "nyt"):
        errors: dict[str, list[float]] = {"difference": [], "threshold": [], "mean": [], "none": []}
        falls = []
        for seed in range(seeds):
            stage = Stage(rows, 2000 + seed, folder, 500)
            pool = stage.fresh if name == "amazon" else dealt(other.filter(domain=name), seed)
            part = stage.answered(pool[:500])
            truth = float((part["label"] == part["truth_"]).mean())  # type: ignore[arg-type]
            sure, reference = part["confidence"].to_numpy(), stage.told["confidence"].to_numpy()
            for method in ("difference", "threshold", "mean"):
                errors[method].append(abs(estimate(method, sure, reference, stage.right) - truth))  # type: ignore[arg-type]
            errors["none"].append(abs(float(stage.right.mean()) - truth))
            falls.append(float(stage.right.mean()) - truth)
        found[name] = {key: round(100 * float(np.mean(one)), 2) for key, one in errors.items()} | {
            "fall": round(100 * float(np.mean(falls)), 2)
        }
    return found


def pair(stage: Stage, part: pl.DataFrame, about: dict[str, Any]) -> tuple[dict[str, Any], pl.DataFrame]:
    """A window and its reference in the columns that Evidently gets."""

    def columns(texts: pl.Series, told: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame(
            {"text": texts, "letters": texts.str.len_chars().cast(pl.Float64), "confidence": told["confidence"], "label": told["label"]}
        )

    before, now = columns(stage.reference["text"], stage.told), columns(part["text"], part)
    return about, pl.concat([before.with_columns(now=pl.lit(False)), now.with_columns(now=pl.lit(True))])


def evidently(python: str, kept: list[Any], folder: Path) -> dict[str, Any]:
    """What Evidently says of the same windows, in its own environment."""
    pl.concat([frame.with_columns(pair=pl.lit(index)) for index, (_, frame) in enumerate(kept)]).write_parquet(folder / "pairs.parquet")
    (folder / "pairs.json").write_text(json.dumps([about for about, _ in kept]))
    began = time.monotonic()
    subprocess.run([python, str(HERE / "drift_evidently.py"), str(folder)], check=True)
    told = json.loads((folder / "evidently.json").read_text())
    result: dict[str, Any] = {
        "version": told["version"],
        "seconds_a_window": (time.monotonic() - began) / len(kept),
        "no_drift": {},
        "delays": {},
    }
    lines = [about | said for (about, _), said in zip(kept, told["windows"], strict=True)]
    for way in ("any_column", "dataset"):
        for window in sorted({one["window"] for one in lines}):
            calm = [one for one in lines if one["kind"] == "no drift" and one["window"] == window]
            if calm:
                rate = proportion(np.array([float(one[way]) for one in calm]), np.array([one["seed"] for one in calm]))
                result["no_drift"].setdefault(way, {})[str(window)] = {
                    "rate": rate.estimate,
                    "low": rate.low,
                    "high": rate.high,
                    "windows": len(calm),
                }
            for name in dict.fromkeys(one["kind"] for one in lines if one["kind"] != "no drift"):
                own = [one for one in lines if one["kind"] == name and one["window"] == window]
                if own:
                    first = [
                        next((one["delay"] for one in own if one["seed"] == seed and one[way]), None)
                        for seed in sorted({one["seed"] for one in own})
                    ]
                    result["delays"].setdefault(way, {}).setdefault(str(window), {})[name] = _summary(first)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="of the replay without drift")
    parser.add_argument("--drift-seeds", type=int, default=10)
    parser.add_argument("--windows", type=int, nargs="+", default=[500, 200])
    parser.add_argument("--evidently", metavar="PYTHON", help="of an environment with evidently and pandas<3")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "drift.json")
    given = parser.parse_args()
    rows, other, kept = reviews(), others(), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        result: dict[str, Any] = {"estimators": estimators(rows, other, given.drift_seeds, folder), "no_drift": [], "delays": {}}
        print(json.dumps(result["estimators"]), flush=True)
        for window in given.windows:
            for way, seeds in (("rows", given.seeds), *((one, max(2, given.seeds // 3)) for one in ("callers", "mixed", "unknown"))):
                one = no_drift(rows, seeds, window, way, folder, kept)
                result["no_drift"].append(one)
                print(
                    f"window {window}, dealt as {way}: "
                    + ", ".join(f"{k} {v['rate']:.3%} ({v['low']:.2%}-{v['high']:.2%})" for k, v in one["methods"].items()),
                    flush=True,
                )
        for window in given.windows:
            result["delays"][str(window)] = delays(rows, other, given.drift_seeds, window, folder, kept)
        given.output.write_text(json.dumps(result, indent=1) + "\n")
        if given.evidently:
            result["evidently"] = evidently(given.evidently, kept, folder)
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {given.output}")


if __name__ == "__main__":
    main()
