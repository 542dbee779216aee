"""Known faults for real rows, continued from `planted`: items of a benchmark, paraphrases, dates, footers, answers, preference pairs; and
faults of a whole data set (a label in several spellings, a word that gives the label away, drift, groups), each with what a check
should name.

`paraphrases.tsv` holds sixty sentences and the same in other words, written by hand before any check saw them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from planted import Rng, Rows, added, edited, pick, replaced

PARAPHRASES = Path(__file__).with_name("paraphrases.tsv")
DAYS = 1_000


def paraphrases(kind: str) -> pl.DataFrame:
    """(said, other): a sentence and the same in other words."""
    return pl.read_csv(PARAPHRASES, separator="\t", quote_char=None).filter(pl.col("kind") == kind).drop("kind")


# ---- items of a benchmark


def contaminated(rows: pl.DataFrame, items: list[str], rng: Rng, way: str) -> Rows:
    """Rows that hold one of `items`: word for word between other words, or with a tenth or a fifth of its words replaced."""
    words = sorted(set(" ".join(rows["text"].head(500).to_list()).split()))
    places = pick(rows, len(items), rng)
    texts = {
        "verbatim": lambda item, text: f"{text} {item.upper()} {text[:40]}",
        "a tenth": lambda item, text: edited(item, 0.1, words, rng),
        "a fifth": lambda item, text: edited(item, 0.2, words, rng),
    }
    return replaced(rows, {place: texts[way](item, rows["text"][place]) for place, item in zip(places, items, strict=True)})


def in_other_words(rows: pl.DataFrame, others: pl.Series, rng: Rng) -> Rows:
    return replaced(rows, dict(zip(pick(rows, len(others), rng), others, strict=True)))


def both_wordings(rows: pl.DataFrame, pairs: pl.DataFrame, rng: Rng) -> Rows:
    """Sentences in place of rows, and the same in other words in rows of their own."""
    rows, ids = replaced(rows, dict(zip(pick(rows, len(pairs), rng), pairs["said"], strict=True)))
    chosen = rows.filter(pl.col("row_id").is_in(ids))
    said = dict(pairs.select("said", "other").iter_rows())
    return added(rows, chosen.with_columns(text=pl.col("text").replace_strict(said)), "said")


# ---- single rows


def boilerplate(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """Footers as companies, mail programs and pages write them."""
    forms = ["You get this mail because you signed up at our shop. Click here to stop receiving it.", "(c) 2019 Example Ltd. All rights reserved.",
             "By using this site you agree to our use of cookies. OK", "Sent from my iPad", "Home | Products | Contact us | Imprint",
             "This communication may contain privileged information. Please delete it if it was not meant for you.",
             "----- Original Message ----- From: John Smith", "To unsubscribe, reply with STOP.", "Join our newsletter! Follow us on Facebook and Instagram",
             "Sent via the mobile app, please excuse typing errors"]  # fmt: skip
    return replaced(rows, {place: f"{rows['text'][place]}\n{forms[rng.integers(len(forms))]}" for place in pick(rows, count, rng)})


def dated(rows: pl.DataFrame, rng: Rng) -> pl.DataFrame:
    """A column `sent` with days of 2019 to 2021."""
    days = pl.Series(rng.integers(17_900, 17_900 + DAYS, len(rows)), dtype=pl.Int32)
    return rows.with_columns(sent=days.cast(pl.Date).cast(pl.String))


def wrong_dates(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    forms = ["2091-03-04", "1970-01-01", "0001-01-01", "2019-13-45", "soon", "9999-12-31", "1899-12-30", "2020-02-30"]
    rows = dated(rows, rng)
    return replaced(rows, {place: forms[rng.integers(len(forms))] for place in pick(rows, count, rng)}, "sent")


def short_answers(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    forms = ["", " ", "Yes.", "ok", "42", "Thanks!"]
    return replaced(rows, {place: forms[rng.integers(len(forms))] for place in pick(rows, count, rng)}, "answer")


def exchanged(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """Answers that belong to another prompt: those of `count` rows go round in a ring."""
    places = rng.permutation(pick(rows, count, rng)).tolist()
    answers = {place: rows["answer"][other] for place, other in zip(places, np.roll(places, 1).tolist(), strict=True)}
    return replaced(rows, answers, "answer")


def preferences(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """A column `rejected`, another row's answer; in the planted pairs both sides are alike or nearly, one is empty, or the chosen one refuses."""
    others = pl.Series(np.roll(np.arange(len(rows)), 1))
    rows = rows.with_columns(rejected=rows["answer"].gather(others))
    answers, rejected = rows["answer"].to_list(), rows["rejected"].to_list()
    chosen = pick(rows, count, rng)
    for number, place in enumerate(chosen):
        if number % 4 == 0:
            rejected[place] = f" {answers[place].upper()}"
        elif number % 4 == 1:
            rejected[place] = f"{answers[place]} Really."
        elif number % 4 == 2:
            rejected[place] = ""
        else:
            answers[place], rejected[place] = "I am unable to write that comment, sorry.", answers[place]
    return rows.with_columns(answer=pl.Series(answers), rejected=pl.Series(rejected)), [rows["row_id"][place] for place in chosen]


# ---- whole data sets


@dataclass(frozen=True)
class Drawn:
    """One draw of a data set with a fault: what findings should name, the names that they must not, the settings to read with."""

    rows: pl.DataFrame
    wrong: list[str]
    right: list[str]
    data: dict[str, Any]


def spelt(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """3% of one class, by turns of each, in another spelling; the names of the other classes are left alone."""
    labels = sorted(rows["label"].unique())
    label = labels[rng.integers(len(labels))]
    forms: list[Callable[[str], str]] = [
        str.upper,
        str.capitalize,
        lambda one: f" {one}",
        lambda one: f"{one} ",
        lambda one: chr(ord(one[0]) + 0xFEE0) + one[1:],
    ]
    form = forms[rng.integers(len(forms))](label)  # fmt: skip
    hit = pl.Series(rng.random(len(rows)) < 0.03)
    spoilt = rows.with_columns(label=pl.when((pl.col("label") == label) & hit).then(pl.lit(form)).otherwise("label"))
    return Drawn(spoilt, [repr(form)], [f"is {one!r}" for one in labels if one != label], {})


def giving_away(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """A word of no meaning at the end of 60% of the texts of one class, and of a thousandth of the others; another word by chance."""
    label = sorted(rows["label"].unique())[rng.integers(rows["label"].n_unique())]
    draw = rng.random(len(rows))
    held = ((rows["label"] == label) & pl.Series(draw < 0.6)) | pl.Series(draw < 0.001)
    chance = pl.Series(rng.random(len(rows)) < 0.6)
    text = rows["text"] + pl.select(pl.when(held).then(pl.lit(" zq17")).otherwise(pl.lit("")))["literal"]
    text += pl.select(pl.when(chance).then(pl.lit(" zq99")).otherwise(pl.lit("")))["literal"]
    return Drawn(rows.with_columns(text=text.alias("text")), ["zq17"], ["zq99"], {})


def footers(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """A sentence at the end of 1.5% of the texts, and one at the end of only three of them."""
    frequent, rare = "Reviewed by the team of Example Motors in Springfield", "Written on a rainy day in the north of Denmark"
    hit = rng.random(len(rows)) < 0.015
    few = set(rng.choice(len(rows), 3, replace=False).tolist())
    texts = [f"{text}\n{frequent if hit[place] else rare if place in few else ''}" for place, text in enumerate(rows["text"])]
    return Drawn(rows.with_columns(text=pl.Series(texts)), [frequent], [rare], {})


def drifting(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """Dates; in the newest third of the rows one label grows from its share to twice its share. Words hardly move."""
    label = sorted(rows["label"].unique())[0]
    weight = np.where((rows["label"] == label).to_numpy(), 2.0, 1.0)
    late = rng.random(len(rows)) < 0.35 * weight / weight.mean()
    day = np.where(late, rng.integers(700, DAYS, len(rows)), rng.integers(0, 700, len(rows)))
    days = pl.Series(17_900 + day, dtype=pl.Int32).cast(pl.Date).cast(pl.String)
    return Drawn(rows.with_columns(sent=days), [repr(label)], [], {"date": "sent"})


def steady(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """Dates that have nothing to do with the rows: nothing should be said."""
    return Drawn(dated(rows, rng), [], ["share of", "median length", "told apart"], {"date": "sent"})


def cut_texts(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """All texts cut after twenty words."""
    cut = pl.col("text").str.split(" ").list.head(20).list.join(" ")
    return Drawn(rows.with_columns(text=cut), ["words"], [], {})


def whole_texts(rows: pl.DataFrame, rng: Rng) -> Drawn:
    return Drawn(rows, [], ["words", "characters"], {})


def groups_of(rows: pl.DataFrame, weight: np.ndarray, rng: Rng, groups: int = 10) -> tuple[pl.DataFrame, list[str], list[str]]:
    """A column `shop`; the first two shops draw rows in proportion to `weight`, the others draw any."""
    shops = [f"shop{number}" for number in range(groups)]
    odds = np.where(np.arange(groups) < 2, weight[:, None], 1.0)
    odds /= odds.sum(axis=1, keepdims=True)
    drawn = (odds.cumsum(axis=1) > rng.random((len(rows), 1))).argmax(axis=1)
    return (
        rows.with_columns(shop=pl.Series([shops[one] for one in drawn])),
        [f"={one}:" for one in shops[:2]],
        [f"={one}:" for one in shops[2:]],
    )


def complaining(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """Two of ten shops that have three times as many negative reviews (by the raters' label, not by any word list)."""
    weight = np.where((rows["label"] == "negative").to_numpy(), 3.0, 1.0)
    return Drawn(*groups_of(rows, weight, rng), {"slices": ["shop"]})


def mislabelled(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """Two of ten shops in which a third of the labels are wrong."""
    rows, wrong, right = groups_of(rows, np.ones(len(rows)), rng)
    labels = sorted(rows["label"].unique())
    bad = rows["shop"].is_in(["shop0", "shop1"]).to_numpy() & (rng.random(len(rows)) < 0.33)
    turned = [labels[(labels.index(label) + 1) % len(labels)] if hit else label for label, hit in zip(rows["label"], bad, strict=True)]
    return Drawn(rows.with_columns(label=pl.Series(turned)), wrong, right, {"slices": ["shop"]})


def mislabelled_unnamed(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """A third of the labels wrong in rows of one of five sources; nobody has declared the column."""
    kinds = np.array(["app", "web", "mail", "phone", "desk"])
    column = kinds[rng.integers(len(kinds), size=len(rows))]
    labels = sorted(rows["label"].unique())
    bad = (column == "desk") & (rng.random(len(rows)) < 0.33)
    turned = [labels[(labels.index(label) + 1) % len(labels)] if hit else label for label, hit in zip(rows["label"], bad, strict=True)]
    spoilt = rows.with_columns(label=pl.Series(turned), channel=pl.Series(column))
    return Drawn(spoilt, ["channel=desk"], [f"channel={one}" for one in kinds if one != "desk"], {})


def long_winded(rows: pl.DataFrame, rng: Rng) -> Drawn:
    """Pairs whose chosen answer is the longer one four times out of five."""
    return _by_length(rows, rng, 0.8, ["longer"], [])


def fair_pairs(rows: pl.DataFrame, rng: Rng) -> Drawn:
    return _by_length(rows, rng, 0.5, [], ["longer", "shorter"])


def _by_length(rows: pl.DataFrame, rng: Rng, share: float, wrong: list[str], right: list[str]) -> Drawn:
    others = rows["answer"].gather(rng.permutation(len(rows)))
    pairs = [sorted(pair, key=len, reverse=bool(rng.random() < share)) for pair in zip(rows["answer"], others, strict=True)]
    chosen, rejected = zip(*pairs, strict=True)
    return Drawn(rows.with_columns(answer=pl.Series(chosen), rejected=pl.Series(rejected)), wrong, right, {})


def reworked(frame: pl.DataFrame, rng: Rng) -> pl.DataFrame:
    """Nine tenths of the rows, so that draws differ."""
    return frame.filter(pl.Series(rng.random(len(frame)) < 0.9))
