"""The checks that need a model find what was planted for them, on their sample, and say when their library is missing."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tunewright.audit.measures import Measures
from tunewright.core import plugins
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.parts import Look

CleanRows = Callable[[int], pl.DataFrame]
Rows = Callable[[list[str | None], list[str]], pl.DataFrame]


def found_by(name: str, rows: pl.DataFrame, look: Look, **settings: object) -> pl.DataFrame:
    data = look.recipe.data.model_copy(update={key: settings.pop(key) for key in ("groups", "date") if key in settings})
    there = Look(look.recipe.model_copy(update={"data": data}), look.report, look.executor, look.tokenizer)
    found = plugins.build("checks", {"name": name, **settings}).run(rows, there)
    return found if len(found.columns) else pl.DataFrame(schema={"row_id": pl.String, "evidence": pl.String, "severity": pl.String})


def added(rows: pl.DataFrame, texts: list[str], label: str = "good") -> pl.DataFrame:
    new = rows.head(len(texts)).with_columns(
        row_id=pl.Series([f"n{one}" for one in range(len(texts))]), text=pl.Series(texts), label=pl.lit(label)
    )
    return pl.concat([rows, new])


def sentences(number: int) -> list[str]:
    """Different short texts about a shop's deliveries, as people write them."""
    draw = np.random.default_rng(4)
    who, what = ["my order", "the parcel", "our package", "the phone I bought"], ["arrived", "came", "was delivered", "got here"]
    when, how = (
        ["two days late", "on Monday", "after a week", "yesterday morning"],
        ["and the box was open", "in good shape", "without an invoice"],
    )
    return [
        f"{draw.choice(who)} {draw.choice(what)} {draw.choice(when)} {draw.choice(how)}, number {draw.integers(9999)}"
        for _ in range(number)
    ]


@pytest.fixture
def deliveries(clean_rows: CleanRows) -> pl.DataFrame:
    return clean_rows(300).with_columns(text=pl.Series(sentences(300)))


def test_a_paraphrase_is_shown_for_review_and_a_near_copy_is_not(clean: pl.DataFrame, look: Look):
    texts = ["overall an excellent phone.", "excellent phone overall", "My refund never came", "my refund never came back"]
    found = found_by("semantic_duplicates", added(clean, texts), look)
    assert found.select("row_id", "related_row_id", "suggested_fix").rows() == [("n1", "n0", "review")]


def test_few_rows_are_not_compared_by_meaning(clean_rows: CleanRows, look: Look):
    assert found_by("semantic_duplicates", added(clean_rows(50), ["it is great", "great it is"]), look).is_empty()


def test_without_its_library_the_check_says_so(clean: pl.DataFrame, look: Look, monkeypatch: pytest.MonkeyPatch):
    from tunewright.models import static

    static._table.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "wordllama", None)
    with pytest.raises(EnvironmentProblem, match=re.escape("pip install 'tunewright[embeddings]'")):
        found_by("semantic_duplicates", clean.clone(), look)
    assert "row_id" in found_by("outliers", clean.clone(), look).columns, "outliers go on with words alone"
    static._table.cache_clear()


def test_a_row_about_something_else_is_an_outlier(deliveries: pl.DataFrame, look: Look):
    strange = [
        "The minister spoke about constitutional reform before parliament in Vienna",
        "SELECT id FROM users WHERE age > 30 ORDER BY name",
    ]
    found = found_by("outliers", added(deliveries, strange), look)
    assert set(found["row_id"]) == {"n0", "n1"}
    assert found["evidence"].str.contains("the nearest other row: ").all()


def test_rows_of_keys_hit_at_random_and_of_markup_are_outliers_though_they_are_like_each_other(deliveries: pl.DataFrame, look: Look):
    draw = np.random.default_rng(4)
    strange = ["".join(draw.choice(list("qwertzuiopasdfghjklyxcvbnm "), 60)) for _ in range(3)]
    strange += ['<tr><td width="9"><img src="/a.gif"></td>' * 2, "if(x[i]!=0&&y[i]>>2){z+=f(x[i],~y);}"]
    found = found_by("outliers", added(deliveries, strange), look)
    assert set(found["row_id"]) == {f"n{one}" for one in range(5)}
    assert found["evidence"].str.ends_with("(letters and signs as in no other row)").any()
    assert found_by("outliers", deliveries.clone(), look).is_empty()


def test_rows_in_two_given_splits_are_counted_by_pair(clean: pl.DataFrame, look: Look):
    text = "the seller sent the wrong phone and then would not answer"
    splits = ["train"] * 150 + ["test"] * 50 + ["train", "test", "validation"]
    rows = added(clean, [text, text.upper(), text + " me"]).with_columns(split=pl.Series(splits))
    found = found_by("split_leakage", rows, look)
    totals = found.filter(pl.col("row_id").is_null()).sort("severity")
    assert totals["severity"].to_list() == ["error", "warning"]
    assert totals["evidence"][0] == "1 of the 51 rows of test stand in train too (1.96%): 1 word for word, 0 nearly"
    assert found.filter(pl.col("row_id") == "n1").select("related_row_id", "severity").row(0) == ("n0", "error")


def test_values_of_a_group_that_reach_over_are_one_finding(clean: pl.DataFrame, look: Look):
    rows = clean.with_columns(split=pl.Series(["train", "test"] * 100), author=pl.Series(["ann"] * 10 + [f"a{one}" for one in range(190)]))
    found = found_by("split_leakage", rows, look, groups=["author"])
    assert found["evidence"].to_list() == ["1 value of author in train and in test (5 rows there), for example ann"]


def test_rows_of_one_split_leak_nowhere(clean: pl.DataFrame, look: Look):
    assert found_by("split_leakage", pl.concat([clean, clean]).with_columns(split=pl.lit("train")), look).is_empty()


QUESTION = "A farmer has seventeen sheep and all but nine of them run away; how many sheep does the farmer have left"
SHORT = "Name the capital city of the country Burkina Faso"


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (
            f"Please solve this. {QUESTION.upper().replace(';', ' --')}? Think step by step and explain how you got there, then say it again.",
            "error",
        ),
        (QUESTION.replace("seventeen", "seventy"), "error"),
        (f"well, {SHORT.lower()}, please", "error"),
        ("Seventeen sheep belong to a farmer, and all run away but nine: how many does the farmer still have", "warning"),
    ],
    ids=["inside a longer text", "one word changed", "a short item", "in other words"],
)
def test_items_of_a_benchmark_are_found(text: str, severity: str, clean: pl.DataFrame, look: Look, tmp_path: Path):
    pl.DataFrame({"question": [QUESTION, SHORT], "answer": ["9", "Ouagadougou"]}).write_csv(tmp_path / "bench.csv")
    found = found_by("contamination", added(clean, [text]), look, against=[str(tmp_path / "bench.csv")])
    assert found.select("row_id", "severity").rows() == [("n0", severity)]
    assert "bench.csv, record " in found["evidence"][0]


def test_a_shared_phrase_is_no_contamination(clean: pl.DataFrame, look: Look, tmp_path: Path):
    pl.DataFrame({"question": [QUESTION]}).write_csv(tmp_path / "bench.csv")
    rows = added(clean, ["a farmer has seventeen sheep and a phone that I want to buy for my garden"])
    assert found_by("contamination", rows, look, against=[str(tmp_path / "bench.csv")]).is_empty()


def test_a_benchmark_is_named_and_measured_again_when_its_items_change(clean: pl.DataFrame, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setenv("TUNEWRIGHT_BENCHMARKS", str(tmp_path))
    rows, found = added(clean, [QUESTION]), []
    for items in ([SHORT], [SHORT, QUESTION]):
        pl.DataFrame({"question": items, "answer": "9"}).write_ndjson(tmp_path / "gsm8k.jsonl")
        check = plugins.build("checks", {"name": "contamination", "against": ["gsm8k"]})
        kept = Measures(tmp_path / "measures", [rows], look.recipe)
        measures = kept.get(check)
        if measures is None:
            measures = check.measure(rows, look)
            kept.put(check, measures)
        found.append(check.decide(measures, rows, look))
    assert found[0].is_empty()
    assert found[1]["row_id"].to_list() == ["n0"]
    assert "gsm8k, record 2, column question" in found[1]["evidence"][0]


def dated(rows: pl.DataFrame, days: list[int]) -> pl.DataFrame:
    return rows.with_columns(sent=pl.Series(days).cast(pl.Int32).cast(pl.Date).cast(pl.String))


def test_rows_that_change_with_time_are_told_by_their_words_and_labels(clean_rows: CleanRows, look: Look):
    rows = dated(clean_rows(600), list(range(19_000, 19_600)))
    late = pl.int_range(pl.len()) >= 400
    rows = rows.with_columns(
        text=pl.when(late).then(pl.col("text") + " webshop").otherwise("text"), label=pl.when(late).then(pl.lit("bad")).otherwise("label")
    )
    found = found_by("date_drift", rows, look, date="sent")["evidence"].to_list()
    assert len(found) == 2
    assert "newer: " in found[0]
    assert "webshop" in found[0]
    assert "the share of 'bad' goes 50% → 50% → 67% → 100%" in found[1]


def test_rows_that_do_not_change_have_no_drift(clean_rows: CleanRows, look: Look):
    days = np.random.default_rng(0).permutation(np.arange(19_000, 19_600)).tolist()
    assert found_by("date_drift", dated(clean_rows(600), days), look, date="sent").is_empty()


@pytest.mark.parametrize("dates", [["soon"] * 300, ["2024-01-01"] * 300], ids=["unreadable", "all alike"])
def test_dates_that_say_nothing_are_no_drift_and_no_crash(dates: list[str], clean_rows: CleanRows, look: Look):
    assert found_by("date_drift", clean_rows(300).with_columns(sent=pl.Series(dates)), look, date="sent").is_empty()


def many_words(number: int) -> tuple[list[str | None], list[str]]:
    """Labels that hang on one of 300 words: a few hundred rows cannot have seen them all."""
    draw = np.random.default_rng(2)
    picks = draw.integers(300, size=number)
    return [f"w{pick} the shop {draw.choice(['a', 'the', 'my'])} box x{draw.integers(99999)}" for pick in picks], [
        "ab"[pick % 2] for pick in picks
    ]


def test_a_task_that_needs_more_rows_says_what_they_would_buy(rows_of: Rows, look: Look):
    found = found_by("too_small", rows_of(*many_words(600)), look)
    assert len(found) == 1
    assert re.search(r"with 600 rows; the next 1,000 rows would buy about \+0\.\d+ \(", found["evidence"][0])


def test_a_task_that_is_learnt_needs_no_more_rows(clean_rows: CleanRows, look: Look):
    assert found_by("too_small", clean_rows(600), look).is_empty()


def test_short_answers_that_differ_are_a_warning_and_long_ones_are_shown(rows_of: Rows, look: Look):
    long = [f"{word} is a fine thing to write a long answer about when one has the time" for word in ("Rain", "Snow")]
    rows = rows_of(["Capital of France?", "capital of  France?", "A story", "A story", "Once"], ["a"] * 5)
    rows = rows.with_columns(answer=pl.Series(["Paris", "Lyon", *long, "upon a time"]))
    found = found_by("conflicting_answers", rows, look)
    assert found.select("row_id", "severity").rows() == [("r0", "warning"), ("r1", "warning"), ("r2", "info"), ("r3", "info")]
    assert found["evidence"][0] == "answered “Paris”, elsewhere “Lyon”: Capital of France?"


TOPICS = {
    "bread": ("How do I bake {} bread at home?", "Knead {} flour with yeast, let the dough rise and bake the bread for forty minutes."),
    "tyre": (
        "How do I change a {} bicycle tyre?",
        "Lift the {} tyre off the rim with levers, change the tube and pump the bicycle wheel up again.",
    ),
    "tax": ("When must I file my {} tax return?", "The {} tax return must be filed with the revenue office by the end of July."),
    "cat": ("Why does my {} cat scratch the sofa?", "A {} cat scratches the sofa to mark its place; give the cat a scratching post."),
}


def questions(number: int) -> tuple[list[str | None], list[str]]:
    kinds = list(TOPICS.values())
    words = [f"kind{one}" for one in range(number)]
    return [kinds[one % 4][0].format(words[one]) for one in range(number)], [kinds[one % 4][1].format(words[one]) for one in range(number)]


def test_an_answer_to_another_question_is_suspected_by_several_signals(rows_of: Rows, look: Look):
    asked, said = questions(200)
    said[11] = said[10]
    said[50] = "Ich weiß es leider nicht, aber vielleicht fragen Sie morgen noch einmal beim Amt nach"
    rows = rows_of(asked, ["a"] * 200).with_columns(answer=pl.Series(said))
    found = found_by("likely_wrong_answers", rows, look)
    assert set(found["row_id"]) == {"r11", "r50"}
    assert found.filter(pl.col("row_id") == "r11")["evidence"][0].startswith("no_shared_word, other_prompts: “")
    assert found["suggested_fix"].unique().to_list() == ["review"]


def test_answers_that_fit_are_not_suspected(rows_of: Rows, look: Look):
    asked, said = questions(200)
    assert found_by("likely_wrong_answers", rows_of(asked, ["a"] * 200).with_columns(answer=pl.Series(said)), look).is_empty()


@pytest.mark.slow
def test_label_noise_ranks_rows_that_raters_disagreed_on(look: Look):
    frame = pl.read_csv(Path(__file__).parents[2] / "examples/reviews/reviews.csv")
    from tunewright.audit.checks._sample import quick_of
    from tunewright.audit.checks.date_drift import auroc

    rows = frame.rename({"id": "row_id"})
    quick = quick_of(rows, look)
    assert quick is not None
    doubt = 1 - quick.believed[np.arange(len(quick.given)), quick.given]
    assert auroc((quick.rows["agreement"] < 0.6).to_numpy().astype(int), doubt) > 0.7
