"""What decisions come to: agreement is applied, disagreement waits."""

from pathlib import Path

from tunewright.core.run import Run
from tunewright.prepare.review.log import Decision, Log
from tunewright.prepare.review.outcome import conflicts, resolved


def relabel(row_id: str, by: str, value: str, **more: object) -> Decision:
    return Decision(row_id, "relabel", by, field="label", value=value, previous="pos", **more)  # type: ignore[arg-type]


def of(run: Run, *decisions: Decision) -> dict[str, tuple[str, str | None]]:
    Log(run.path("review", "log.jsonl")).append(decisions)
    return {row["row_id"]: (row["action"], row["value"]) for row in resolved(run).to_dicts()}


def test_no_review_resolves_nothing(tmp_path: Path):
    assert resolved(Run(tmp_path)).columns == ["row_id", "action", "field", "value", "by", "at", "previous"]


def test_each_kind_of_decision_is_one_line_and_a_skip_is_none(tmp_path: Path):
    edit = Decision("r2", "edit", "anna", field="text", value="better")
    found = of(
        Run(tmp_path),
        relabel("r1", "anna", "neg"),
        edit,
        Decision("r3", "drop", "anna"),
        Decision("r4", "accept", "anna"),
        Decision("r5", "skip", "anna"),
    )
    assert found == {"r1": ("relabel", "neg"), "r2": ("edit", "better"), "r3": ("drop", None), "r4": ("accept", None)}


def test_the_last_word_of_a_person_counts(tmp_path: Path):
    assert of(Run(tmp_path), relabel("r1", "anna", "neg"), Decision("r1", "accept", "anna")) == {"r1": ("accept", None)}


def test_an_edit_and_a_relabelling_of_one_person_add_up(tmp_path: Path):
    run = Run(tmp_path)
    of(run, relabel("r1", "anna", "neg"), Decision("r1", "edit", "anna", field="text", value="better"))
    assert resolved(run).select("field", "value").rows() == [("label", "neg"), ("text", "better")]


def test_reviewers_who_agree_are_named_together(tmp_path: Path):
    run = Run(tmp_path)
    of(run, relabel("r1", "ben", "neg"), relabel("r1", "anna", "neg"))
    assert resolved(run)["by"].to_list() == ["anna, ben"]


def test_reviewers_who_differ_change_nothing_until_somebody_adjudicates(tmp_path: Path):
    run = Run(tmp_path)
    assert of(run, relabel("r1", "anna", "neg"), Decision("r1", "accept", "ben")) == {}
    assert conflicts(run)["opinions"].to_list() == [["relabel to neg", "accept"]]
    assert of(run, relabel("r1", "carl", "neutral", final=True)) == {"r1": ("relabel", "neutral")}
    assert conflicts(run).is_empty()


def test_a_judgement_of_a_check_does_not_decide_about_the_row(tmp_path: Path):
    assert of(Run(tmp_path), Decision("r1", "judge", "anna", check="short_text", holds=True)) == {}
