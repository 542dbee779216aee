"""The ledger balances row by row, or the stage does not close."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.core.errors import LedgerError
from tunewright.core.ledger import LEDGER_SCHEMA, Ledger


def rows(*ids: str) -> pl.DataFrame:
    return pl.DataFrame({"row_id": list(ids)}, schema={"row_id": pl.String}).with_columns(source=pl.lit("f.csv"), line=pl.lit(1))


def test_a_balanced_stage_is_written_and_running_it_again_replaces_its_lines(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.parquet")
    for _ in range(2):
        ledger.start("prepare")
        ledger.record("prepare", "fixed", rows("a"), reason="repair_text")
        ledger.record("prepare", "kept", rows("a", "b"))
        ledger.record("prepare", "dropped", rows("c"), reason="empty")
        counts = ledger.close("prepare", rows("a", "b", "c")["row_id"], rows("a", "b")["row_id"])
        assert counts == {"dropped": 1, "fixed": 1, "kept": 2}
    assert len(ledger.lines()) == 4
    assert list(ledger.lines().schema) == list(LEDGER_SCHEMA)


@pytest.mark.parametrize(
    ("kept", "dropped", "out", "message"),
    [
        (["a"], [], ["a"], "row.* b: it came in and has no"),
        (["a", "b"], ["b"], ["a", "b"], "b ended more than once"),
        (["a", "b", "z"], [], ["a", "b", "z"], "z: it has an ending but never came in"),
        (["a", "b"], [], ["a"], "b: it is kept by the ledger but not in the stage's output"),
        (["a"], ["b"], ["a", "b"], "b: it is in the stage's output but not kept"),
    ],
)
def test_an_unbalanced_stage_does_not_close(tmp_path: Path, kept: list[str], dropped: list[str], out: list[str], message: str):
    ledger = Ledger(tmp_path / "ledger.parquet")
    ledger.record("prepare", "kept", rows(*kept))
    ledger.record("prepare", "dropped", rows(*dropped), reason="empty")
    with pytest.raises(LedgerError, match=message):
        ledger.close("prepare", rows("a", "b")["row_id"], rows(*out)["row_id"])
    assert not ledger.path.exists()


def test_a_change_without_a_reason_is_refused(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.parquet")
    ledger.record("prepare", "kept", rows("a"))
    ledger.record("prepare", "dropped", rows("b"))
    with pytest.raises(LedgerError, match="without a reason"):
        ledger.close("prepare", rows("a", "b")["row_id"], rows("a")["row_id"])


@given(st.lists(st.sampled_from(["kept", "dropped", "quarantined", "lost", "twice"]), min_size=1, max_size=30))
def test_close_succeeds_exactly_when_no_row_is_lost_or_counted_twice(tmp_path_factory: pytest.TempPathFactory, fates: list[str]):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.parquet")
    names = [f"r{index}" for index in range(len(fates))]
    for name, fate in zip(names, fates, strict=True):
        if fate in ("kept", "twice"):
            ledger.record("s", "kept", rows(name))
        if fate in ("dropped", "quarantined", "twice"):
            ledger.record("s", "dropped" if fate == "twice" else fate, rows(name), reason="why")
    out = rows(*(name for name, fate in zip(names, fates, strict=True) if fate in ("kept", "twice")))["row_id"]
    if {"lost", "twice"} & set(fates):
        with pytest.raises(LedgerError):
            ledger.close("s", rows(*names)["row_id"], out)
    else:
        assert sum(ledger.close("s", rows(*names)["row_id"], out).values()) == len(fates)
