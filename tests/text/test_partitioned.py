"""The partitioned join gives what `TextJoin` gives, however rows are cut into batches and partitions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tunewright.core.errors import DataError
from tunewright.core.executor import LocalExecutor
from tunewright.core.progress import Report
from tunewright.text import partitioned
from tunewright.text.neardup import NearPairs, TextJoin
from tunewright.text.partitioned import join_partitioned

DATA = Path(__file__).parents[2] / "examples"
WORDS = ["good", "phone", "bad", "ok", "Straße", "é", "好", "用", "手机", "ดี", "カ", "👍"]
rows = st.lists(st.one_of(st.none(), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)), min_size=1, max_size=24)


def join(texts: pl.Series, directory: Path, cuts: int, partitions: int, threshold: float = 0.5, workers: int = 1) -> NearPairs:
    edges = np.linspace(0, len(texts), cuts + 1).astype(int).tolist()
    batches = [directory / f"{number}.parquet" for number in range(cuts)]
    for batch, start, end in zip(batches, edges, edges[1:], strict=False):
        pl.DataFrame({"text": texts[start:end]}).write_parquet(batch)
    executor = LocalExecutor(Report())
    return join_partitioned(batches, threshold, executor, directory / "spill", partitions=partitions, workers=workers)


def assert_same(found: NearPairs, texts: pl.Series, threshold: float = 0.5) -> None:
    whole = TextJoin(texts)
    assert found.capped == 0
    assert found.first.tolist() == whole.first.tolist()
    assert_frame_equal(found.pairs, whole.near(threshold, per_row=1000).pairs)
    assert_frame_equal(found.keep(threshold), whole.keep(threshold))
    assert found.components(threshold).tolist() == whole.components(threshold).tolist()


@pytest.mark.parametrize("partitions", [1, 3])
@settings(max_examples=15, deadline=None)
@given(texts=rows, cuts=st.integers(1, 3), threshold=st.sampled_from([0.3, 0.5, 0.8]))
def test_any_cut_gives_what_one_join_gives(partitions: int, texts: list[str | None], cuts: int, threshold: float) -> None:
    column = pl.Series(texts, dtype=pl.String)
    with tempfile.TemporaryDirectory() as name:
        assert_same(join(column, Path(name), cuts, partitions, threshold), column, threshold)


@pytest.mark.slow
@pytest.mark.parametrize(("partitions", "workers"), [(1, 1), (3, 1), (3, 2)])
def test_real_rows(tmp_path: Path, partitions: int, workers: int) -> None:
    texts = pl.read_csv(DATA / "reviews" / "reviews.csv", infer_schema=False)["text"].head(20_000)
    texts = pl.concat([texts, texts.head(500).str.replace("the", "this", literal=True)])
    assert_same(join(texts, tmp_path, 3, partitions, workers=workers), texts)


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("这款手机的电池很耐用而且屏幕非常清晰", "这款手机的电池很耐用而且屏幕十分清晰"),
        ("この携帯電話は電池がとても長持ちします", "この携帯電話は電池がかなり長持ちします"),
        ("โทรศัพท์เครื่องนี้แบตเตอรี่ใช้ได้นานมาก", "โทรศัพท์เครื่องนี้แบตเตอรี่ใช้ได้นานดี"),
    ],
)
def test_scripts_without_spaces(tmp_path: Path, text: str, edited: str) -> None:
    texts = pl.Series([text, "something else altogether", edited])
    found = join(texts, tmp_path, 2, 3)
    assert found.pairs.select("left", "right").rows() == [(0, 2)]
    assert_same(found, texts)


def test_a_task_that_runs_twice_changes_nothing(tmp_path: Path) -> None:
    class Twice(LocalExecutor):
        def map(self, fn, items, workers=1):  # type: ignore[no-untyped-def]
            super().map(fn, items, workers)
            return super().map(fn, items, workers)

    texts = pl.Series([f"a text of several words and the number {number % 5} of {number % 3}" for number in range(40)])
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "a.parquet")
    assert_same(join_partitioned([tmp_path / "a.parquet"], 0.5, Twice(Report()), tmp_path / "spill", partitions=2), texts)


def test_a_crowd_is_cut_down_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioned, "CROWD", 50)
    texts = pl.Series([f"dear customer your order has been shipped and will arrive soon {number}" for number in range(400)])
    found = join(texts, tmp_path, 2, 3)
    assert found.capped > 0
    assert len(found.pairs) < 400 * 399 // 4
    assert set(found.components(0.5)) == {0}
    assert found.keep(0.5)["kept"].unique().to_list() == [0]


def test_only_the_answer_stays_in_the_directory(tmp_path: Path) -> None:
    join(pl.Series(["a b c d e", "a b c d f", "a b c d e"]), tmp_path, 2, 2)
    assert {path.name.split("-")[0] for path in (tmp_path / "spill").iterdir()} == {"pairs"}


def test_no_partitions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="partitions must be at least 1"):
        join(pl.Series(["a"]), tmp_path, 1, 0)
