"""Steps one by one: normalise, filter, act on findings, relabel, reviews, the vault, balance; and rows that are not classified."""

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.core import plugins
from tunewright.core.errors import DataError, RecipeError
from tunewright.core.finding import findings
from tunewright.core.parts import Look, StepResult
from tunewright.core.recipe import Recipe
from tunewright.prepare.fields import edited
from tunewright.prepare.review.log import Decision, Log
from tunewright.prepare.unredact import unredact
from tunewright.prepare.vault import Vault
from tunewright.sources import chat

Rows = Callable[..., pl.DataFrame]


def apply(spec: str | dict[str, Any], rows: pl.DataFrame, look: Look) -> StepResult:
    return plugins.build("steps", spec).run(rows, look)  # type: ignore[no-any-return]


def said(done: StepResult) -> list[tuple[str, ...]]:
    return done.changes.select("row_id", "action", "reason", "detail").rows()


def refused(spec: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as error:
        plugins.build("steps", spec)
    return str(error.value)


# normalise_text


def test_normalise_text_writes_characters_in_one_way(rows_of: Rows, look: Look):
    rows = rows_of(["“so” it’s", "cafe\u0301", "a – b", "plain"], ["a"] * 4)
    done = apply({"name": "normalise_text", "dashes": True}, rows, look)
    assert done.rows["text"].to_list() == ['"so" it\'s', "café", "a - b", "plain"]
    assert [one[2] for one in said(done)] == ["unicode_form", "quotes", "dashes"]
    wide = apply({"name": "normalise_text", "unicode": "NFKC"}, rows_of(["ｆｕｌｌ ﬁ"], ["a"]), look)
    assert wide.rows["text"].to_list() == ["full fi"]


# chats and answers


def test_a_chat_is_edited_in_every_turn_and_its_text_and_answer_follow():
    messages = [
        {"role": "system", "content": "Be kind &amp; brief."},
        {"role": "user", "content": "a &amp; b"},
        {"role": "assistant", "content": "c &amp; d"},
        {"role": "user", "content": "thanks &amp; bye"},
    ]
    rows = pl.DataFrame(
        {"row_id": ["r0"], "text": [chat.said(messages[:2])], "answer": ["c &amp; d"], "messages": [chat.dumped(messages)]}  # type: ignore[arg-type]
    )
    done = edited(rows, lambda texts, ids: texts.str.replace_all("&amp;", "&", literal=True))
    turns = json.loads(done["messages"][0])
    assert [one["content"] for one in turns] == ["Be kind & brief.", "a & b", "c & d", "thanks & bye"]
    assert done["text"][0] == "Be kind & brief.\n\na & b"
    assert done["answer"][0] == "c & d"


def test_json_in_the_arguments_of_a_tool_call_stays_json():
    call = {
        "type": "function",
        "id": "c&1",
        "function": {"name": "find", "arguments": '{"who": "jo@firm.example", "type": "jo@firm.example"}'},
    }
    messages: list[Any] = [{"role": "user", "content": "who?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    text, answer = chat.split(messages)
    rows = pl.DataFrame({"row_id": ["r0"], "text": [text], "answer": [answer], "messages": [chat.dumped(messages)]})
    done = edited(rows, lambda texts, ids: texts.str.replace_all("jo@firm.example", '"<EMAIL>"', literal=True))
    made = json.loads(done["messages"][0])[1]["tool_calls"][0]
    assert json.loads(made["function"]["arguments"]) == {"who": '"<EMAIL>"', "type": '"<EMAIL>"'}
    assert made["id"] == "c&1"
    assert done["answer"][0] == chat.split(json.loads(done["messages"][0]))[1]


def test_preference_rows_with_a_long_answer_keep_their_parts():
    messages: list[Any] = [
        {"role": "user", "content": "x &amp;"},
        {"role": "assistant", "content": "1"},
        {"role": "assistant", "content": "2 &amp;"},
    ]
    values = {
        "row_id": "r0",
        "text": "x &amp;",
        "answer": chat.said(messages[1:]),
        "rejected": "no &amp;",
        "messages": chat.dumped(messages),
    }
    done = edited(pl.DataFrame([values]), lambda texts, ids: texts.str.replace_all("&amp;", "&", literal=True))
    assert done.select("text", "answer", "rejected").row(0) == ("x &", "1\n\n2 &", "no &")


def test_duplicates_of_generation_rows_need_the_same_answer(rows_of: Rows, look: Look):
    rows = rows_of(["same question"] * 3, ["a"] * 3).drop("label").with_columns(answer=pl.Series(["one", "one", "two"]))
    done = apply("drop_exact_duplicates", rows, look)
    assert done.rows["row_id"].to_list() == ["r0", "r2"]
    empty = apply("drop_empty", rows.with_columns(answer=pl.Series(["x", " ", None])), look)
    assert [one[:3] for one in said(empty)] == [("r1", "dropped", "empty_answer"), ("r2", "dropped", "empty_answer")]


# filter_rows


def test_filters_keep_and_drop_by_what_columns_hold(rows_of: Rows, look: Look):
    rows = rows_of(["one", "one two three", "one two three four five", None], ["a"] * 4, folder=["in", "spam_2", "in", None])
    spec = {"name": "filter_rows", "keep": [{"min_words": 2, "max_words": 4}], "drop": [{"field": "folder", "equals": ["spam_2"]}]}
    done = apply(spec, rows, look)
    assert done.rows.is_empty()
    assert said(done)[0] == ("r0", "dropped", "not_kept", "text: min_words 2, max_words 4")
    assert said(done)[-1] == ("r1", "dropped", "filtered_out", "folder: equals spam_2")
    assert apply({"name": "filter_rows", "drop": [{"missing": True}]}, rows, look).rows["row_id"].to_list() == ["r0", "r1", "r2"]
    assert apply({"name": "filter_rows", "keep": [{"matches": "two|five"}]}, rows, look).rows["row_id"].to_list() == ["r1", "r2"]
    french = rows_of(["Le chat est assis sur la table de la cuisine", "The cat sits on the table of the kitchen", ""], ["a"] * 3)
    assert apply({"name": "filter_rows", "keep": [{"language": "fr"}]}, french, look).rows["row_id"].to_list() == ["r0"]


def test_filters_that_cannot_work_say_why(rows_of: Rows, look: Look):
    assert "name at least one condition" in refused({"name": "filter_rows"})
    assert "at least one condition besides field" in refused({"name": "filter_rows", "keep": [{"field": "text"}]})
    assert "no row can be both" in refused({"name": "filter_rows", "keep": [{"min_words": 5, "max_words": 2}]})
    assert "must be a regular expression" in refused({"name": "filter_rows", "keep": [{"matches": "("}]})
    assert "unknown key" in refused({"name": "filter_rows", "keep": [{"min_wrods": 5}]})
    with pytest.raises(DataError, match=r"no column 'foldr'.*Did you mean 'folder'"):
        apply({"name": "filter_rows", "keep": [{"field": "foldr", "equals": "x"}]}, rows_of(["a"], ["a"], folder=["x"]), look)


# drop_flagged


def flagged(look: Look) -> Look:
    found = [
        findings("long_text", "warning", pl.DataFrame({"row_id": ["r0", "r1"], "score": [0.9, 0.2]})),
        findings("outliers", "info", pl.DataFrame({"row_id": ["r2"], "score": [0.9]})),
        findings("long_text", "error", pl.DataFrame({"row_id": [None], "score": [1.0]}, schema={"row_id": pl.String, "score": pl.Float64})),
    ]
    return replace(look, findings=lambda: pl.concat(found))


def test_flagged_rows_leave_by_check_score_and_severity(rows_of: Rows, look: Look):
    rows = rows_of(["x"] * 4, ["a"] * 4)
    done = apply({"name": "drop_flagged", "checks": ["long_text"], "min_score": 0.5}, rows, flagged(look))
    assert said(done) == [("r0", "dropped", "long_text", "warning, score 0.9")]
    both = {"name": "drop_flagged", "checks": ["long_text", "short_text"], "to": "quarantine"}
    assert [one[:2] for one in said(apply(both, rows, flagged(look)))] == [("r0", "quarantined"), ("r1", "quarantined")]
    assert "'long_txt' is not a check. Did you mean 'long_text'?" in refused({"name": "drop_flagged", "checks": ["long_txt"]})


# relabel


def test_labels_come_from_a_file_and_the_latest_line_counts(rows_of: Rows, look: Look, tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text("row_id,label,by,at\nr0,b,anna,2026-01-02\nr0,a,ben,2026-01-01\nr1,b,ben,2026-01-01\ngone,b,ben,2026-01-01\n")
    done = apply({"name": "relabel", "file": str(path)}, rows_of(["x"] * 3, ["a", "b", "a"]), look)
    assert done.rows["label"].to_list() == ["b", "b", "a"]
    assert said(done) == [("r0", "relabelled", "relabelled_by_file", "a -> b, by anna, at 2026-01-02")]


def test_a_file_of_labels_that_cannot_be_used_says_why(rows_of: Rows, look: Look, tmp_path: Path):
    rows, path = rows_of(["x"] * 2, ["spam", "ham"]), tmp_path / "labels.jsonl"
    spec = {"name": "relabel", "file": str(path)}
    with pytest.raises(DataError, match="there is no file"):
        apply(spec, rows, look)
    path.write_text('{"row_id": "r0", "label": "spma"}\n')
    with pytest.raises(DataError, match=r"'spma' for row r0 is a label that no row has. Did you mean 'spam'"):
        apply(spec, rows, look)
    assert apply(spec | {"new_labels": True}, rows, look).rows["label"].to_list() == ["spma", "ham"]
    path.write_text('{"row_id": "r0", "label": "spam"}\n{"row_id": "r0", "label": "ham"}\n')
    with pytest.raises(DataError, match="gives row r0 several labels"):
        apply(spec, rows, look)
    assert "name one source of labels" in refused({"name": "relabel"})


def test_suggestions_of_the_audit_are_taken_when_they_are_sure(rows_of: Rows, look: Look):
    evidence = [f"labelled a, looks b ({share}% against {100 - share}%): some words" for share in (97, 80)]
    found = findings("label_noise", "info", pl.DataFrame({"row_id": ["r0", "r1"], "score": [0.97, 0.8], "evidence": evidence}))
    look = replace(look, findings=lambda: found)
    done = apply({"name": "relabel", "suggestions": "label_noise"}, rows_of(["x"] * 3, ["a", "a", "b"]), look)
    assert said(done) == [("r0", "relabelled", "relabelled_by_suggestion", "a -> b, score 0.97")]


# apply_reviews


def test_reviews_relabel_edit_and_drop(rows_of: Rows, look: Look, tmp_path: Path):
    rows = rows_of(["one", "two", "three", "four", "five"], ["a", "b", "a", "b", "a"])
    decisions = [
        Decision("r0", "relabel", "anna", field="label", value="b"),
        Decision("r1", "edit", "anna", field="text", value="two, mended"),
        Decision("r2", "drop", "anna"),
        Decision("r3", "relabel", "anna", field="label", value="a"),
        Decision("r3", "relabel", "ben", field="label", value="b"),
        Decision("r4", "skip", "anna"),
    ]
    Log(tmp_path / "review" / "log.jsonl").append(decisions)
    done = apply("apply_reviews", rows, replace(look, directory=tmp_path))
    assert done.rows.select("row_id", "text", "label").rows() == [
        ("r0", "one", "b"),
        ("r1", "two, mended", "b"),
        ("r3", "four", "b"),
        ("r4", "five", "a"),
    ]
    assert {one[:3] for one in said(done)} == {("r0", "relabelled", "review"), ("r1", "fixed", "review"), ("r2", "dropped", "review")}
    assert all("by anna" in one[3] for one in said(done))
    assert plugins.build("steps", "apply_reviews").reads(tmp_path) == [tmp_path / "review" / "log.jsonl"]


# the vault

VALUES = st.sampled_from(["jo@firm.example", "ann@other.example", "+1 212-555-0142", "4111 1111 1111 1111"])
PIECES = st.lists(VALUES | st.sampled_from(["<EMAIL_1>", "<EMAIL_2>", "<PHONE_1>", "call", "or", "née"]), max_size=6)
WILD = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@WILD
@given(texts=st.lists(PIECES.map(" | ".join), min_size=1, max_size=5), numbered=st.sampled_from(["row", "data"]))
def test_what_was_redacted_opens_to_what_it_was(
    texts: list[str], numbered: str, rows_of: Rows, look: Look, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("vault") / "vault.json"
    rows = rows_of(texts, ["a"] * len(texts), answer=list(reversed(texts))).drop("label")
    done = apply({"name": "redact_pii", "numbered": numbered, "vault": str(path)}, rows, look)
    assert not done.rows["text"].str.contains("jo@firm.example|ann@other|4111").any()
    vault = Vault.load(path)
    ids = done.rows["row_id"].to_list()
    for name in ("text", "answer"):
        assert vault.open(done.rows[name].to_list(), ids) == rows[name].to_list()


def test_a_value_has_one_number_in_its_row_or_in_all_rows(rows_of: Rows, look: Look):
    rows = rows_of(["jo@firm.example and ann@firm.example, jo@firm.example", "ann@firm.example"], ["a", "b"])
    by_row = apply({"name": "redact_pii", "numbered": "row"}, rows, look).rows["text"].to_list()
    assert by_row == ["<EMAIL_1> and <EMAIL_2>, <EMAIL_1>", "<EMAIL_1>"]
    by_data = apply({"name": "redact_pii", "numbered": "data"}, rows, look).rows["text"].to_list()
    assert by_data == ["<EMAIL_1> and <EMAIL_2>, <EMAIL_1>", "<EMAIL_2>"]


def test_a_vault_is_its_owners_alone_encrypted_when_asked_and_never_overwritten(
    rows_of: Rows, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "vault.json"
    spec = {"name": "redact_pii", "numbered": "row", "vault": str(path), "vault_key_env": "VAULT_KEY"}
    rows = rows_of(["ask jo@firm.example"], ["a"])
    with pytest.raises(DataError, match="VAULT_KEY"):
        apply(spec, rows, look)
    monkeypatch.setenv("VAULT_KEY", "correct horse")
    done = apply(spec, rows, look)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "firm.example" not in path.read_text()
    csv = tmp_path / "rows.csv"
    done.rows.write_csv(csv)
    assert unredact(csv, path, tmp_path / "open.csv", "VAULT_KEY") == 1
    assert "jo@firm.example" in (tmp_path / "open.csv").read_text()
    assert stat.S_IMODE((tmp_path / "open.csv").stat().st_mode) == 0o600
    with pytest.raises(DataError, match="is encrypted"):
        Vault.load(path)
    with pytest.raises(DataError, match="does not open with this passphrase"):
        Vault.load(path, "wrong")
    apply(spec, rows, look)
    assert len(list(tmp_path.glob("vault.json*"))) == 1, "the same values are the same vault"
    apply(spec, rows_of(["ask ann@firm.example"], ["a"]), look)
    assert len(list(tmp_path.glob("vault.json*"))) == 2, "an older vault is kept beside it"


def test_text_files_open_when_numbers_hold_for_all_rows(tmp_path: Path):
    vault = Vault("data")
    assert vault.placeholder("r0", "email", "jo@firm.example") == "<EMAIL_1>"
    vault.save(tmp_path / "vault.json")
    (tmp_path / "mail.txt").write_text("write to <EMAIL_1> or <EMAIL_9>")
    assert unredact(tmp_path / "mail.txt", tmp_path / "vault.json", tmp_path / "open.txt") == 1
    assert (tmp_path / "open.txt").read_text() == "write to jo@firm.example or <EMAIL_9>"
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(DataError, match="is no vault"):
        Vault.load(tmp_path / "other.json")
    assert "a vault needs numbered" in refused({"name": "redact_pii", "vault": "v.json"})


def test_files_in_a_recipe_are_relative_to_it(tmp_path: Path):
    steps: list[Any] = ["drop_empty", {"name": "relabel", "file": "labels.csv"}]
    recipe = Recipe.check({"data": {"path": "rows.csv"}, "prepare": {"steps": steps}}, folder=tmp_path)
    assert recipe.prepare.steps == ["drop_empty", {"name": "relabel", "file": str(tmp_path / "labels.csv")}]


# balance


def imbalanced(rows_of: Rows) -> pl.DataFrame:
    return rows_of([f"text {one}" for one in range(100)], ["spam" if one < 20 else "ham" for one in range(100)])


def test_weights_make_classes_count_the_same(rows_of: Rows, look: Look):
    done = apply("balance", imbalanced(rows_of), look)
    sums = dict(done.rows.group_by("label").agg(pl.col("weight").sum()).iter_rows())
    assert sums["spam"] == pytest.approx(sums["ham"], rel=1e-4)
    assert done.rows["weight"].mean() == pytest.approx(1.0, rel=1e-4)
    assert said(done)[0] == ("r0", "fixed", "balanced_weight", "spam has weight 2.5")
    root = apply({"name": "balance", "target": "sqrt"}, imbalanced(rows_of), look).rows
    shares = dict(root.group_by("label").agg(pl.col("weight").sum()).iter_rows())
    assert shares["ham"] / shares["spam"] == pytest.approx(2.0, rel=1e-3), "the root of 80 to 20"
    again = apply("balance", done.rows, look)
    assert again.rows["weight"].gather([0]).item() > done.rows["weight"][0], "weights multiply"


def test_rare_rows_are_repeated_and_common_ones_left_out(rows_of: Rows, look: Look):
    rows = imbalanced(rows_of)
    more = apply({"name": "balance", "mode": "oversample"}, rows, look)
    assert dict(more.rows["label"].value_counts().iter_rows()) == {"spam": 80, "ham": 80}
    assert more.rows["parent_id"].drop_nulls().is_in(rows["row_id"].to_list()).all()
    fewer = apply({"name": "balance", "mode": "undersample", "target": {"spam": 0.4, "ham": 0.6}}, rows, look)
    assert dict(fewer.rows["label"].value_counts().iter_rows()) == {"spam": 20, "ham": 30}
    assert {one[1:3] for one in said(fewer)} == {("dropped", "undersampled")}


def test_balance_by_a_slice_and_its_mistakes(rows_of: Rows, look: Look):
    rows = imbalanced(rows_of).with_columns(region=pl.Series(["north"] * 90 + ["south"] * 10))
    done = apply({"name": "balance", "by": "region", "most": 3.0}, rows, look)
    by_region = dict(done.rows.group_by("region").agg(pl.col("weight").mean()).iter_rows())
    assert by_region["south"] / by_region["north"] == pytest.approx(3.0 / (0.5 / 0.9), rel=1e-3), "most caps the factor"
    with pytest.raises(DataError, match="no training row has label 'spma'. Did you mean 'spam'"):
        apply({"name": "balance", "target": {"spma": 0.5, "ham": 0.5}}, rows, look)
    with pytest.raises(DataError, match="'ham' has none"):
        apply({"name": "balance", "target": {"spam": 1.0}}, rows, look)
    assert "add up to 1" in refused({"name": "balance", "target": {"spam": 0.5, "ham": 0.6}})
