"""The log is what a review is: nothing that was decided is lost, whoever writes at the same time."""

import multiprocessing
from pathlib import Path

import pytest

from tunewright.core.errors import RunError
from tunewright.prepare.review.log import Decision, Log


def test_a_decision_comes_back_as_it_was_written(tmp_path: Path):
    one = Decision("r1", "relabel", "anna", field="label", value="neg", previous="pos", seconds=2.5, check="label_noise", holds=False)
    log = Log(tmp_path / "log.jsonl")
    log.append([one])
    assert log.decisions() == [one]


def test_an_undo_takes_back_ones_own_last_decision_and_stays_in_the_log(tmp_path: Path):
    log = Log(tmp_path / "log.jsonl")
    log.append([Decision("r1", "accept", "anna"), Decision("r2", "drop", "anna"), Decision("r3", "drop", "ben")])
    taken = log.undo("anna")
    assert taken is not None
    assert taken.row_id == "r2"
    assert [one.row_id for one in log.decisions()] == ["r1", "r3"]
    assert [one.action for one in log.lines()] == ["accept", "drop", "drop", "undo"]


def test_undo_goes_back_further_each_time_and_then_has_nothing_left(tmp_path: Path):
    log = Log(tmp_path / "log.jsonl")
    log.append([Decision("r1", "accept", "anna"), Decision("r2", "drop", "anna")])
    assert [one.row_id if (one := log.undo("anna")) else None for _ in range(3)] == ["r2", "r1", None]


def test_a_line_cut_short_by_a_crash_is_left_out_and_the_next_one_stands_on_its_own(tmp_path: Path):
    log = Log(tmp_path / "log.jsonl")
    log.append([Decision("r1", "accept", "anna")])
    with open(log.path, "ab") as stream:
        stream.write(b'{"row_id": "r2", "act')
    log.append([Decision("r3", "drop", "anna")])
    assert [one.row_id for one in log.decisions()] == ["r1", "r3"]


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path):
    log = Log(tmp_path / "log.jsonl")
    log.append([Decision("r1", "accept", "anna")])
    log.path.write_text('{"row_id": "r0", "action": "explode"}\n' + log.path.read_text())
    with pytest.raises(RunError, match="line 1"):
        log.lines()


def _write(path: Path, name: str) -> None:
    for number in range(25):
        Log(path).append([Decision(f"r{number}", "accept", name)])


def test_reviewers_at_the_same_time_lose_nothing(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    writers = [multiprocessing.get_context("fork").Process(target=_write, args=(path, name)) for name in ("anna", "ben")]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    found = Log(path).decisions()
    assert sorted((one.by, one.row_id) for one in found) == sorted((name, f"r{number}") for name in ("anna", "ben") for number in range(25))
