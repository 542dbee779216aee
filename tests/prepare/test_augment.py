"""Augmentation: what the methods write, which children may stay, and a real server that answers as OpenAI and LibreTranslate do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tunewright.prepare as stage
from tunewright.core import plugins
from tunewright.core.errors import EnvironmentProblem, RecipeError
from tunewright.core.parts import Look, StepResult
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context
from tunewright.models.load import load_base
from tunewright.prepare.augment.accept import reasons
from tunewright.prepare.augment.ask import Endpoint, message_of
from tunewright.prepare.augment.methods._prompted import cleaned
from tunewright.prepare.augment.methods.synonyms import table
from tunewright.prepare.proof import check_changes
from tunewright.testing.tiny import tiny_model
from tunewright.text.neardup import TextJoin

Rows = Callable[..., pl.DataFrame]
REVIEW = "I don't like this phone. The screen broke after two weeks. Perhaps I should buy another one!"
OFFLINE = ["noise", "synonyms", "templates"]


def write(spec: str | dict[str, Any], rows: pl.DataFrame, look: Look, number: int = 1, seed: int = 5) -> list[str | None]:
    return plugins.build("augmenters", spec).write(rows, number, look, seed)["text"].to_list()  # type: ignore[no-any-return]


def augment(rows: pl.DataFrame, look: Look, **values: Any) -> StepResult:
    return plugins.build("steps", {"name": "augment", "share": 1.0, **values}).run(rows, look)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", OFFLINE)
def test_a_method_writes_new_texts_that_its_seed_decides(name: str, rows_of: Rows, look: Look):
    rows = rows_of([REVIEW, REVIEW, "", None, "好"], ["a"] * 5)
    first, again, other = write(name, rows, look, 2), write(name, rows, look, 2), [write(name, rows, look, 2, seed) for seed in range(6)]
    assert len(first) == 10
    assert first == again
    assert any(one != first for one in other)
    assert first[0] != REVIEW
    part = write(name, rows[1:2], look, 2)
    assert part == first[2:4], "what a row gets does not depend on the other rows"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), name=st.sampled_from(OFFLINE))
def test_methods_take_any_text(text: str, name: str, rows_of: Rows, look: Look):
    assert len(write(name, rows_of([text], ["a"]), look, 3)) == 3


def test_noise_changes_about_as_much_as_asked(rows_of: Rows, look: Look):
    text = " ".join(f"sentence{one}number" for one in range(60))
    little, much = (write({"name": "noise", "rate": rate}, rows_of([text], ["a"]), look)[0] or "" for rate in (0.005, 0.1))
    kept = [len(set(text.split()) & set(one.split())) / 60 for one in (little, much)]
    assert 0.85 < kept[0] < 1
    assert 0.02 < kept[1] < 0.5


def test_synonyms_keep_capitals_and_everything_else(rows_of: Rows, look: Look):
    said = write({"name": "synonyms", "rate": 1.0}, rows_of(["Maybe, MAYBE we go."], ["a"]), look)[0]
    assert said is not None
    words = {"perhaps", "possibly"}
    first, second = said.removesuffix(" we go.").split(", ")
    assert first.lower() in words
    assert first[0].isupper()
    assert second.isupper()
    assert all(word not in others for word, others in table().items())


def test_templates_open_contractions_reorder_and_frame(rows_of: Rows, look: Look):
    rows = rows_of([REVIEW], ["a"])
    assert (write({"name": "templates", "ways": ["contractions"]}, rows, look)[0] or "").startswith("I do not like this phone.")
    turned = write({"name": "templates", "ways": ["order"]}, rows, look)[0] or ""
    assert sorted(turned.replace("!", ".").split(". ")) != []
    assert sorted(turned.split()) == sorted(REVIEW.split())
    assert REVIEW in (write({"name": "templates", "ways": ["frames"]}, rows, look)[0] or "")


def judged(said: list[str], parent: str) -> pl.DataFrame:
    return pl.DataFrame({"said": said, "whole": said, "parent_said": parent, "lost": False})


def test_each_child_that_may_not_stay_has_its_reason(rows_of: Rows):
    parent = "the phone works well and the screen is bright enough for me"
    rows = rows_of([parent, "a row that stands in the training rows already, word for word"], ["a", "a"])
    held_out = pl.Series("text", ["the battery of this camera died after two short weeks of use", "sealed"])
    cases = {
        "": "no_answer",
        "I'm sorry, but I can't help with that request today.": "refusal",
        parent * 4: "length",
        parent.upper(): "repeats_parent",
        "the phone works well, write to jo@firm.example about the screen": "new_personal_data",
        "the battery of this camera died after two short weeks of my use": "near_test",
        "A row that stands in the training rows already, word  for word": "duplicate",
        "the telephone works fine and its display is bright enough for me": None,
    }
    new = judged([*cases, next(reversed(cases))], parent)
    away = pl.DataFrame({"said": held_out, "whole": held_out})
    assert reasons(new, rows["text"], away, 0.5, 2.0).to_list() == [*cases.values(), "duplicate"]
    assert reasons(judged(["sealed"], "sealed off"), rows["text"], away, 0.5, 2.0).to_list() == ["near_test"]


def test_children_are_capped_counted_and_named_after_their_parents(rows_of: Rows, look: Look):
    rows = rows_of([f"{REVIEW} number {one}" for one in range(40)], [("a", "b", "b", "b")[one % 4] for one in range(40)])
    done = augment(rows, look, methods=["noise", "templates"], share=0.5, per_row=2)
    children = done.rows[len(rows) :]
    assert done.rows[: len(rows)].drop("parent_id").equals(rows)
    assert 10 < len(children) <= 20
    assert children["parent_id"].is_in(rows["row_id"].to_list()).all()
    assert children.group_by("parent_id").len()["len"].max() <= 4
    both = children.join(rows, left_on="parent_id", right_on="row_id", suffix="_parent")
    assert (both["label"] == both["label_parent"]).all()
    assert (both["line"] == both["line_parent"]).all()
    assert set(done.changes.filter(pl.col("action") == "added")["reason"]) == {"noise", "templates"}
    assert done.rejected is not None
    assert len(children) + len(done.rejected) == int((done.changes["action"] == "added").sum())


def test_only_rare_or_named_labels(rows_of: Rows, look: Look):
    rows = rows_of([f"{REVIEW} number {one}" for one in range(40)], ["rare" if one < 5 else "common" for one in range(40)])
    for labels in ("rare", ["rare"]):
        done = augment(rows, look, methods=["noise"], labels=labels)
        assert set(done.rows[len(rows) :]["label"]) == {"rare"}


def test_no_child_is_near_a_row_that_was_held_out(rows_of: Rows, look: Look):
    rows = rows_of(["the phone works very well and the screen is nice and bright today"], ["a"])
    held_out = rows_of(["the phone works very well and the screen is nice and bright now"], ["a"])
    done = augment(rows, replace(look, held_out=held_out), methods=[{"name": "templates", "ways": ["frames"]}], per_row=1)
    assert len(done.rows) == 1
    assert done.changes["reason"].to_list() == ["templates", "near_test"]


def test_unknown_methods_are_refused(rows_of: Rows, look: Look):
    with pytest.raises(RecipeError, match=r"'nois' is not one of the augmenters.*Did you mean 'noise'"):
        plugins.build("steps", {"name": "augment", "methods": ["nois"]})
    with pytest.raises(RecipeError, match="model must name a model of the server"):
        plugins.build("steps", {"name": "augment", "methods": ["paraphrase"]})


def test_a_stage_with_children_and_weights_is_proven_and_leaks_nothing(rows_of: Rows, context: Callable[..., Context]):
    texts: list[str | None] = [
        f"case {one}: the {('red', 'blue')[one % 2]} lamp number {one * 7} failed after {one} days" for one in range(120)
    ]
    steps: list[Any] = [{"name": "augment", "methods": OFFLINE, "share": 0.6}, {"name": "balance", "mode": "oversample"}, "balance"]
    where = context(rows_of(texts, ["rare" if one % 5 == 0 else "common" for one in range(120)]), steps=steps)
    result = stage.run(where)
    parts = {name: pl.read_parquet(where.run.path("prepare", f"{name}.parquet")) for name in ("train", "validation", "test")}
    assert "value for value" in check_changes(where.run)
    train = parts["train"]
    born = train.filter(pl.col("parent_id").is_not_null())
    assert len(born) > 20
    assert born["parent_id"].is_in(train["row_id"].to_list()).all(), "a child stands where its parent stands"
    assert train["weight"].mean() == pytest.approx(1.0, abs=1e-4)
    assert "parent_id" not in parts["test"].columns
    held_out = pl.concat([parts["validation"]["text"], parts["test"]["text"]])
    pairs = TextJoin(pl.concat([held_out, born["text"]])).pairs(0.3)
    assert pairs.filter((pl.col("left") < len(held_out)) & (pl.col("right") >= len(held_out))).is_empty()
    assert result.rows_added == int((where.ledger.lines()["action"] == "added").sum())


def test_paraphrases_come_from_an_openai_server(server: Any, rows_of: Rows, look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MY_KEY", "sk-hidden")
    server.reply = lambda text: f'"In other words, {text.split("Text: ")[1].lower()}"'
    spec = {"name": "paraphrase", "base_url": f"{server.url}/v1", "model": "tiny", "api_key_env": "MY_KEY", "price": [1.0, 2.0]}
    rows = rows_of(["The Phone {works} Well", "It Broke On Day Two"], ["a", "b"])
    look = replace(look, directory=tmp_path)
    assert write(spec, rows, look) == ["In other words, the phone {works} well", "In other words, it broke on day two"]
    assert server.keys == ["Bearer sk-hidden"] * 2
    assert server.asked[0]["model"] == "tiny"
    assert write(spec, rows, look) == ["In other words, the phone {works} well", "In other words, it broke on day two"]
    assert len(server.asked) == 2, "no question is asked twice"
    assert "sk-hidden" not in (tmp_path / "cache" / "answers.jsonl").read_text()


def test_synthetic_rows_show_examples_of_the_label(server: Any, rows_of: Rows, look: Look):
    rows = rows_of(["bad one", "bad two", "good one"], ["bad", "bad", "good"])
    server.reply = lambda text: f"new text {len(text)} for this label, longer than before"
    done = augment(
        rows, look, methods=[{"name": "synthetic", "base_url": f"{server.url}/v1", "model": "tiny", "at_once": 1}], labels=["bad"]
    )
    asked = [one["messages"][0]["content"] for one in server.asked]
    assert all("bad one" in one and "bad two" in one and "good one" not in one and '"bad"' in one for one in asked)
    assert set(done.rows[3:]["label"]) <= {"bad"}


def test_back_translation_goes_there_and_back(server: Any, rows_of: Rows, look: Look):
    spec = {"name": "back_translation", "through": "translator", "base_url": server.url, "pivots": ["fr", "de"]}
    assert write(spec, rows_of(["hello"], ["a"]), look, 2) == ["hello (fr) (en)", "hello (de) (en)"]
    server.reply = lambda text: f"{text.split('Text: ')[1]} + {text.split('into ')[1].split('.')[0]}"
    spec = {"name": "back_translation", "base_url": f"{server.url}/v1", "model": "tiny"}
    assert write(spec, rows_of(["hello"], ["a"]), look) == ["hello + French + English"]


def test_a_busy_server_is_asked_again_and_a_refusal_is_an_error_without_the_key(server: Any, tmp_path: Path):
    server.errors = [503, 429]
    point = Endpoint(server.url, key="sk-hidden", pause=0.01)
    quiet = Report(quiet=True)
    assert point.ask("/v1", [{"messages": [{"content": "hi"}]}], message_of, quiet, "asking") == ["said: hi"]
    assert len(server.asked) == 3
    server.errors = [503] * 4
    assert point.ask("/v1", [{"messages": [{"content": "other"}]}], message_of, quiet, "asking") == [None]
    server.errors = [401]
    with pytest.raises(EnvironmentProblem, match=r"refuses the question \(HTTP 401") as error:
        point.ask("/v1", [{"messages": [{"content": "x"}]}], message_of, quiet, "asking")
    assert "sk-hidden" not in str(error.value)


def test_an_answer_of_another_form_is_no_answer_and_no_server_is_an_error(server: Any, rows_of: Rows, look: Look):
    server.reply = lambda text: None
    spec = {"name": "paraphrase", "base_url": f"{server.url}/v1", "model": "tiny", "retries": 0}
    done = augment(rows_of(["a text of some words"], ["a"]), look, methods=[spec])
    assert done.changes["reason"].to_list() == ["paraphrase", "no_answer"]
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        write(spec | {"base_url": "http://127.0.0.1:9/v1"}, rows_of(["a"], ["a"]), look)
    with pytest.raises(EnvironmentProblem, match="NO_SUCH_KEY"):
        write(spec | {"api_key_env": "NO_SUCH_KEY"}, rows_of(["a"], ["a"]), look)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('"A text."', "A text."),
        ("Here is a paraphrase: A text.", "A text."),
        ("Text: A text.", "A text."),
        ("A text.\n\nNote: I kept its tone.", "A text."),
        ('"A" and "B"', '"A" and "B"'),
        ("Plain: a text", "Plain: a text"),
    ],
)
def test_answers_lose_quotes_and_introductions(answer: str, text: str):
    assert cleaned(answer) == text


@pytest.mark.slow
def test_the_base_model_writes_too_and_its_seed_decides(tmp_path: Path, rows_of: Rows, look: Look):
    from tunewright.models.generate import generate

    recipe = Recipe.check({"data": {"path": "rows.csv"}, "model": {"base": str(tiny_model(tmp_path / "tiny"))}})
    base = load_base(recipe.model)
    questions = [f"say {'much ' * one}" for one in range(10)]
    greedy = generate(base, questions, 6, 0.0, 1)
    assert greedy == [generate(base, [one], 6, 0.0, 2)[0] for one in questions], "padding and order change nothing"
    sampled = generate(base, questions, 6, 1.0, 1)
    assert sampled == generate(base, questions, 6, 1.0, 1)
    assert sampled != generate(base, questions, 6, 1.0, 2)
    texts = write(
        {"name": "paraphrase", "through": "model", "max_new_tokens": 5}, rows_of(["a", "b"], ["a", "b"]), replace(look, recipe=recipe)
    )
    assert len(texts) == 2
