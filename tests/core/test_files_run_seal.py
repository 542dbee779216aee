"""Atomic writes, full disks, locks and the sealed test."""

import errno
from pathlib import Path

import polars as pl
import pytest

from tunewright.core.errors import DiskFull, RunError
from tunewright.core.files import append_jsonl, atomic_dir, atomic_path, read_json, read_jsonl, write_json, write_parquet
from tunewright.core.run import PeakMemory, Run
from tunewright.core.seal import open_test, seal_test


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), atomic_path(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert read_json(path) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path: Path):
    for content in ("one", "two"):
        with atomic_dir(tmp_path / "d") as beside:
            (beside / content).write_text(content)
    with pytest.raises(ZeroDivisionError), atomic_dir(tmp_path / "d"):
        raise ZeroDivisionError
    assert [one.name for one in (tmp_path / "d").iterdir()] == ["two"]
    assert [one.name for one in tmp_path.iterdir()] == ["d"]


def test_a_full_disk_is_told_as_such(tmp_path: Path):
    with pytest.raises(DiskFull, match="no space left"), atomic_path(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_really_full_device_gives_the_same_error(tmp_path: Path):
    link = tmp_path / "events.jsonl"
    link.symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        append_jsonl(link, {"a": 1})


def test_not_a_number_is_not_json(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path):
    path = tmp_path / "e.jsonl"
    append_jsonl(path, {"a": 1})
    with open(path, "a") as stream:
        stream.write('{"a": 2')
    assert read_jsonl(path) == [{"a": 1}]


def test_a_run_directory_is_used_by_one_process_at_a_time(tmp_path: Path):
    run = Run(tmp_path / "r")
    with run.locked(), pytest.raises(RunError, match="in use"), Run(tmp_path / "r").locked():
        pass


def test_each_new_set_of_systems_judged_on_the_test_is_a_look(tmp_path: Path):
    run = Run(tmp_path)
    seal_test(run, pl.DataFrame({"row_id": ["a"]}))
    assert [open_test(run, "evaluate", systems)[1] for systems in ("one", "one", "two", "one")] == [1, 1, 2, 2]
    seal_test(run, pl.DataFrame({"row_id": ["b"]}))
    assert open_test(run, "evaluate", "three")[1] == 3, "looks stay counted when the split is made again"


def test_a_test_split_that_was_changed_is_refused(tmp_path: Path):
    run = Run(tmp_path)
    seal_test(run, pl.DataFrame({"row_id": ["a"]}))
    write_parquet(run.path("prepare", "test.parquet"), pl.DataFrame({"row_id": ["z"]}))
    with pytest.raises(RunError, match="not the test split that was sealed"):
        open_test(run, "evaluate", "one")


def test_peak_memory_sees_what_the_block_took():
    with PeakMemory() as small:
        pass
    with PeakMemory() as large:
        block = bytearray(300 * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        import time

        time.sleep(0.6)
    assert large.bytes > small.bytes + 200 * 2**20
