"""Other tools: what goes out comes back, and what does not fit is refused as a whole."""

import json
from pathlib import Path

import pytest

from tunewright.core.errors import DataError
from tunewright.prepare.review import Review
from tunewright.prepare.review.exchange import FORMATS, export, take_in


def decide_something(review: Review) -> None:
    review.fill(n=100, random=0)
    review.decide("r00", "relabel", "anna", value="neg", seconds=4)
    review.decide("r00", "accept", "ben", seconds=2)
    review.decide("r01", "edit", "anna", value="great, not", seconds=9)
    review.decide("r01", "relabel", "anna", value="neg", seconds=1)
    review.decide("r02", "drop", "anna", seconds=3)
    review.decide("r03", "accept", "anna@example.com", seconds=3)
    review.decide("r04", "edit", "ben", value='=bad,\n"very" bad', seconds=3)


def outcome(review: Review) -> tuple[list, list]:
    changes = review.resolved().select("row_id", "action", "field", "value", "by").sort("row_id", "field").rows()
    return changes, review.conflicts().rows()


@pytest.mark.parametrize("format", FORMATS)
def test_decisions_survive_the_way_out_and_back(review: Review, tmp_path: Path, format: str):
    decide_something(review)
    path = tmp_path / "out.file"
    export(review, path, format)
    before = outcome(review)
    review.log.path.unlink()
    new, known = take_in(review, path, format, by="zoe")
    assert (new, known) == (7, 0)
    assert outcome(review) == before


@pytest.mark.parametrize("format", FORMATS)
def test_importing_twice_changes_nothing(review: Review, tmp_path: Path, format: str):
    decide_something(review)
    export(review, tmp_path / "out.file", format)
    before = len(review.log.lines())
    assert take_in(review, tmp_path / "out.file", format, by="zoe")[0] == 0
    assert len(review.log.lines()) == before


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_holds_no_row_of_the_test(review: Review, tmp_path: Path, format: str):
    decide_something(review)
    export(review, tmp_path / "out.file", format)
    assert "sealed words" not in (tmp_path / "out.file").read_text()


def test_label_studio_gets_the_given_label_as_prediction_and_a_configuration(review: Review, tmp_path: Path):
    review.fill(n=2, random=0)
    files, rows = export(review, tmp_path / "tasks.json", "label-studio")
    task = json.loads(files[0].read_text())[0]
    assert rows == 2
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["pos"]}
    assert '<Choice value="neutral"/>' in files[1].read_text()


def test_annotations_as_label_studio_exports_them_are_understood(review: Review, tmp_path: Path):
    result = {"id": "x1", "from_name": "label", "to_name": "text", "type": "choices", "origin": "manual", "value": {"choices": ["neg"]}}
    edited = {"from_name": "edited_text", "to_name": "text", "type": "textarea", "value": {"text": ["mended"]}}
    tasks = [
        {"id": 7, "data": {"row_id": "r00", "label": "pos"}, "annotations": [{"id": 1, "completed_by": 3, "result": [result], "was_cancelled": False, "lead_time": 5.5}]},
        {"id": 8, "data": {"row_id": "r01", "label": "pos"}, "annotations": [{"id": 2, "completed_by": {"id": 4, "email": "b@example.com"}, "result": [edited]}]},
        {"id": 9, "data": {"row_id": "r02", "label": "pos"}, "annotations": [{"id": 3, "result": [], "was_cancelled": True}]},
    ]  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    take_in(review, tmp_path / "export.json", "label-studio", by="zoe")
    said = [(one.row_id, one.action, one.value, one.by, one.seconds) for one in review.log.decisions()]
    assert said == [
        ("r00", "relabel", "neg", "user 3", 5.5),
        ("r01", "edit", "mended", "b@example.com", None),
        ("r02", "skip", None, "zoe", None),
    ]


def test_responses_as_argilla_exports_them_are_understood(review: Review, tmp_path: Path):
    responses = {"label": [{"value": "neg", "user_id": "0b2a5b6e-0000-0000-0000-000000000000"}]}
    record = {
        "id": "r00",
        "fields": {"text": "x"},
        "metadata": {"given_label": "pos"},
        "suggestions": {},
        "responses": responses,
        "vectors": {},
        "status": "completed",
    }
    (tmp_path / "records.json").write_text(json.dumps([record]))
    take_in(review, tmp_path / "records.json", "argilla", by="zoe")
    assert [(one.action, one.value, one.by) for one in review.log.decisions()] == [("relabel", "neg", "user 0b2a5b6e")]


def test_a_filled_in_table_signs_with_the_given_name(review: Review, tmp_path: Path):
    (tmp_path / "t.csv").write_text("row_id;action;value\nr00;relabel;neg\nr01;;\nr02;drop;\n", encoding="utf-8-sig")
    assert take_in(review, tmp_path / "t.csv", "csv", by="zoe") == (2, 0)
    assert {one.by for one in review.log.decisions()} == {"zoe"}


def test_one_bad_line_keeps_all_out(review: Review, tmp_path: Path):
    (tmp_path / "t.csv").write_text("row_id,action,value\nr00,drop,\nr10,drop,\nr01,relabel,ngative\n")
    with pytest.raises(DataError, match=r"2 decisions cannot be used; nothing was imported(.|\n)*sealed test") as error:
        take_in(review, tmp_path / "t.csv", "csv", by="zoe")
    assert "r01: no row has the label" in str(error.value)
    assert review.log.decisions() == []


@pytest.mark.parametrize(
    ("format", "text", "said"),
    [
        ("label-studio", "{}", "list of tasks"),
        ("label-studio", '[{"data": {"image": "x.png"}}]', "task 1"),
        ("argilla", "not json", "not valid JSON"),
        ("argilla", '[{"fields": {}}]', "record 1"),
        ("csv", "a,b\n1,2\n", "no row_id"),
        ("csv", "row_id,action\nr00,destroy\n", "must be one of"),
        ("jsonl", "[1]\n", "JSON object"),
        ("jsonl", '{"row_id": "r00", "action": "drop", "seconds": "long"}\n', "seconds must be a number"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_refused(review: Review, tmp_path: Path, format: str, text: str, said: str):
    (tmp_path / "f").write_text(text)
    with pytest.raises(DataError, match=said):
        take_in(review, tmp_path / "f", format, by="zoe")


def test_a_missing_file_is_refused(review: Review, tmp_path: Path):
    with pytest.raises(DataError, match="no file"):
        take_in(review, tmp_path / "nothing", "csv", by="zoe")


def test_numbers_where_words_are_meant_are_refused_as_words(review: Review, tmp_path: Path):
    (tmp_path / "t.jsonl").write_text('{"row_id": 17, "action": "drop"}\n{"row_id": "r00", "action": "relabel", "value": 3}\n')
    with pytest.raises(DataError, match="no row '17'(.|\n)*no row has the label '3'"):
        take_in(review, tmp_path / "t.jsonl", "jsonl", by="zoe")


def label_studio_file(path: Path, annotation: dict) -> Path:
    path.write_text(json.dumps([{"data": {"row_id": "r00", "label": "pos"}, "annotations": [annotation]}]))
    return path


def test_an_annotation_without_a_choice_is_no_decision(review: Review, tmp_path: Path):
    empty = {"result": [{"type": "choices", "from_name": "label", "value": {"choices": []}}]}
    assert take_in(review, label_studio_file(tmp_path / "t.json", empty), "label-studio", by="zoe") == (0, 0)


def test_an_annotation_that_is_broken_names_its_task(review: Review, tmp_path: Path):
    with pytest.raises(DataError, match="task 1"):
        take_in(review, label_studio_file(tmp_path / "t.json", {"result": None}), "label-studio", by="zoe")
