"""The terminal: one key a decision; and the commands around it."""

import json
from collections.abc import Iterator

import pytest

from tunewright import lifecycle
from tunewright.cli import main
from tunewright.core.run import Run
from tunewright.prepare.review import Review
from tunewright.prepare.review.questions import draw_questions
from tunewright.prepare.review.session import session


def typed(review: Review, *keys: str) -> tuple[int, list[str]]:
    said: list[str] = []
    given: Iterator[str] = iter(keys)

    def ask(_: str) -> str:
        try:
            return next(given)
        except StopIteration as error:
            raise EOFError from error

    return session(review, "anna", ask, said.append), said


def test_each_key_is_a_decision(review: Review):
    review.fill(n=8, random=0, overlap=0)
    made, _ = typed(review, "a", "1", "d", "s", "e better words", "e", "words of a second prompt", "q")
    found = [(one.action, one.value) for one in review.log.decisions()]
    assert made == 6
    assert [action for action, _ in found][2:] == ["drop", "skip", "edit", "edit"]
    assert [value for _, value in found][-2:] == ["better words", "words of a second prompt"]
    assert all(one.seconds is not None for one in review.log.decisions())


def test_undo_brings_the_row_back(review: Review):
    review.fill(n=3, random=0, overlap=0)
    made, said = typed(review, "d", "u", "a", "q")
    assert made == 1
    assert any("Taken back: drop" in line for line in said)
    assert [one.action for one in review.log.decisions()] == ["accept"]


def test_a_wrong_key_or_label_asks_again(review: Review):
    review.fill(n=3, random=0, overlap=0)
    made, said = typed(review, "x", "", "l ngative", "l neg", "q")
    assert made == 1
    assert any("Did you mean" in line or "no row has the label" in line for line in said)


def test_the_end_of_the_input_ends_the_session(review: Review):
    review.fill(n=3, random=0)
    assert typed(review)[0] == 0


def test_questions_are_answered_with_yes_and_no(review: Review):
    draw_questions(review, 10)
    made, _ = typed(review, "y", "n", "s", "q")
    assert made == 3
    assert [(one.action, one.holds) for one in review.log.decisions()] == [("judge", True), ("judge", False), ("skip", None)]


def test_control_characters_cannot_move_the_cursor(review: Review):
    review.rows.every  # noqa: B018  (read it before it is changed)
    frame = review.rows.every
    review.rows.__dict__["every"] = frame.with_columns(text=frame["text"] + "\x1b[2J")
    review.fill(n=1, random=0)
    assert "\x1b" not in "".join(typed(review, "q")[1])


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = main(["review", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_commands_go_from_queue_to_resolution(run: Run, capsys: pytest.CaptureFixture[str], tmp_path):
    where = str(run.directory)
    assert command(capsys, where, "queue", "--n", "4")[0] == 0
    row = command(capsys, where, "next", "--by", "anna")[1]["item"]["row"]["row_id"]
    assert command(capsys, where, "decide", row, "--relabel", "neg", "--by", "anna")[1]["decision"]["by"] == "anna"
    command(capsys, where, "decide", row, "--drop", "--by", "ben")
    assert list(command(capsys, where, "status")[1]["waiting"]) == [row]
    assert command(capsys, where, "adjudicate", row, "--drop", "--by", "carl")[1]["waiting"] == 0
    assert command(capsys, where, "undo", "--by", "carl")[1]["taken_back"]["action"] == "drop"
    assert command(capsys, where, "agreement")[1]["about"] == "labels"
    assert command(capsys, where, "calibrate", "--sample", "10")[1]["questions"]
    assert command(capsys, where, "calibrate")[1]["checks"]
    (tmp_path / "recipe.yaml").write_text("data: {path: rows.csv}  # ours\n")
    assert command(capsys, where, "calibrate", "--apply", str(tmp_path / "recipe.yaml"))[1]["applied"]["left"]
    assert (tmp_path / "recipe.yaml").read_text() == "data: {path: rows.csv}  # ours\n"
    file = str(tmp_path / "f.csv")
    assert command(capsys, where, "export", "-o", file, "--format", "csv")[1]["rows"] >= 4
    assert command(capsys, where, "import", file, "--format", "csv", "--by", "zoe")[1]["new"] == 0


def test_the_report_says_how_far_reviewers_agree(run: Run, capsys: pytest.CaptureFixture[str]):
    where = str(run.directory)
    for row, label in (("r00", "pos"), ("r01", "neg"), ("r02", "pos"), ("r03", "neg")):
        for by in ("anna", "ben"):
            command(capsys, where, "decide", row, "--relabel", "pos" if (row, by) == ("r01", "ben") else label, "--by", by)
    run.path("audit", "summary.json").unlink()
    page = lifecycle.write_report(run).read_text(encoding="utf-8")
    assert "cohen kappa" in page.split("Do the people agree?")[1]
    assert json.loads(run.path("review", "agreement.json").read_text())["confusion"] == {
        "anna / ben": {"neg": {"neg": 1, "pos": 1}, "pos": {"pos": 2}}
    }


def test_a_bad_decision_exits_with_2(run: Run, capsys: pytest.CaptureFixture[str]):
    code, document = command(capsys, str(run.directory), "decide", "r10", "--drop", "--by", "anna")
    assert code == 2
    assert "sealed" in document["error"]
    assert command(capsys, str(run.directory), "decide", "r00", "--by", "anna")[0] == 2
