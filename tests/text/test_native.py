"""Machine code that outlives the process that made it, and what happens where it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tunewright.text.native import LOOPS, Library

COUNT = {"count_shingles": LOOPS["count_shingles"]}


def counts(library: Library) -> list[int]:
    table = np.zeros(16, np.uint8)
    library.run("count_shingles", np.array([3, 4, 3], np.uint64), np.array([2, 3]), np.array([True, False]), table)
    return table[:5].tolist()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the machine code of one loop."""
    folder = tmp_path_factory.mktemp("loops")
    assert counts(Library(COUNT, [folder])) == [0, 0, 0, 1, 1]
    return folder


def test_machine_code_is_kept_and_needs_no_numba_afterwards(kept: Path):
    code = f"""
import sys
from pathlib import Path
import numpy as np
from tunewright.text.native import Library
table = np.zeros(16, np.uint8)
library = Library({COUNT!r}, [Path({str(kept)!r})])
library.run("count_shingles", np.array([3, 4, 3], np.uint64), np.array([2, 3]), np.array([True, True]), table)
print(table[:5].tolist(), {{"numba", "scipy"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[0, 0, 0, 2, 1] set()", done.stderr


def test_a_whole_join_needs_no_numba_once_its_loops_are_kept():
    code = """
import sys
import polars as pl
from tunewright.text.neardup import TextJoin
TextJoin(pl.Series(["a b c d"] * 3)).keep(0.5)
print("numba" in sys.modules)
"""
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2)]
    assert runs[1].stdout.strip() == "False", runs[1].stderr


def test_a_damaged_file_is_made_again(kept: Path, tmp_path: Path):
    library = Library(COUNT, [tmp_path])
    path = library.paths()[0]
    whole = (kept / path.name).read_bytes()
    path.write_bytes(whole[:-1])
    assert counts(library) == [0, 0, 0, 1, 1]
    assert path.stat().st_size >= len(whole)


def test_where_nothing_can_be_written_numba_is_called(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    assert counts(Library(COUNT, [tmp_path / "file" / "below"])) == [0, 0, 0, 1, 1]


def test_what_cannot_stand_alone_is_left_to_numba_and_tried_once(tmp_path: Path):
    loops = {"score": ("kernels_language", "u1 i8 i8 i8 i8 f4*2 f4")}  # it allocates
    library = Library(loops, [tmp_path])
    assert type(library.functions["score"]).__name__ == "CPUDispatcher"
    assert library.paths()[0].stat().st_size == 32  # nothing but the checksum of nothing
    assert type(Library(loops, [tmp_path]).functions["score"]).__name__ == "CPUDispatcher"


def test_the_first_folder_that_can_be_written_keeps_it(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    library = Library(COUNT, [tmp_path / "file" / "below", tmp_path / "other"])
    counts(library)
    assert [path.is_file() for path in library.paths()] == [False, True]


@pytest.mark.parametrize("wrong", [np.zeros(3, np.int64), np.zeros((3, 2), np.uint64), np.zeros(6, np.uint64)[::2]])
def test_an_array_of_another_kind_is_refused(kept: Path, wrong: np.ndarray):
    with pytest.raises(AssertionError, match="argument 0 is no u8"):
        Library(COUNT, [kept]).run("count_shingles", wrong, np.array([2, 3]), np.array([True, False]), np.zeros(16, np.uint8))
