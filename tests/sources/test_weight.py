"""A column named `weight` is the weight of each row in training."""

from pathlib import Path

import pytest

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources import read_rows


def test_numbers_are_weights_and_an_empty_one_is_none(tmp_path: Path):
    (tmp_path / "w.csv").write_text("text,label,weight\na b,x,0.5\nc d,y,\ne f,x, 2 \n")
    assert read_rows(DataSettings(path=str(tmp_path / "w.csv"))).rows["weight"].to_list() == [0.5, None, 2.0]


def test_what_is_no_weight_goes_to_quarantine_with_its_value(tmp_path: Path):
    (tmp_path / "w.csv").write_text("text,label,weight\na b,x,1\nc d,y,heavy\ne f,x,-1\ng h,x,nan\n")
    read = read_rows(DataSettings(path=str(tmp_path / "w.csv")))
    assert (len(read.rows), read.quarantine["reason"].to_list()) == (1, ["bad_weight"] * 3)
    assert "heavy" in read.quarantine["detail"][0]


def test_a_column_that_means_something_else_is_an_error_that_says_so(tmp_path: Path):
    (tmp_path / "w.csv").write_text("text,label,weight\na b,x,12 kg\nc d,y,3 kg\n")
    with pytest.raises(DataError, match="needs another name"):
        read_rows(DataSettings(path=str(tmp_path / "w.csv")))
