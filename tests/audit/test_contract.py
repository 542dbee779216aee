"""What every check of the folder must keep: the findings schema, real rows, the same answer twice, no crash on odd rows."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.audit import audit_rows
from tunewright.core import plugins
from tunewright.core.finding import FINDING_SCHEMA, SEVERITIES
from tunewright.core.parts import Look
from tunewright.core.rows import QUARANTINE_SCHEMA, ReadResult
from tunewright.testing.rows import shaped

Rows = Callable[[list[str | None], list[str]], pl.DataFrame]
NAMES = plugins.names("checks")
ODD: list[str | None] = [
    None,
    "",
    " ",
    "👍👩‍👩‍👧‍👦🏽",
    "ok",
    "OK",
    "\u202eright to left\u202c",
    "a\x00b",
    "<b>&amp;</b>",
    "jo@x.example 4111 1111 1111 1111",
    "çàé ã©",
    "x" * 5000,
    "好" * 300,
    "ok ok ok ok",
    "{} {0} %s",
]


def findings_of(name: str, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
    rows = shaped(rows, plugins.load("checks", name).needs)
    audit = look.recipe.audit.model_copy(update={"checks": [name]})
    read = ReadResult(rows, rows.clear(), pl.DataFrame(schema=QUARANTINE_SCHEMA))
    result = audit_rows(read, look.recipe.model_copy(update={"audit": audit}), look.report, look.executor)
    assert result.summary()
    assert result.document()["checks"][name]["counts"] == result.tally.get(name, {})
    return result.findings


def check_contract(found: pl.DataFrame, rows: pl.DataFrame, name: str) -> None:
    assert dict(found.schema) == FINDING_SCHEMA
    assert set(found["check"]) <= {name}
    assert set(found["severity"]) <= set(SEVERITIES)
    texts = dict(rows.select("row_id", "text").iter_rows())
    assert set(found["row_id"].drop_nulls()) <= set(texts)
    assert set(found["related_row_id"].drop_nulls()) <= set(texts)
    assert found["evidence"].null_count() == 0, "a finding without evidence cannot be checked"
    assert found["score"].is_between(0, 1).all()
    for row_id, start, end in found.drop_nulls("start").select("row_id", "start", "end").iter_rows():
        assert 0 <= start <= end <= len(texts[row_id])


@pytest.mark.parametrize("name", NAMES)
def test_odd_rows_give_whole_findings_about_real_rows_twice_the_same(name: str, rows_of: Rows, clean: pl.DataFrame, look: Look):
    odd = rows_of([*ODD, *ODD], ["a", "b", "A ", "🙂", "a"] * 6).with_columns(row_id="odd" + pl.col("row_id"))
    for rows in (odd, pl.concat([clean, odd])):
        before = rows.clone()
        found = findings_of(name, rows, look)
        check_contract(found, rows, name)
        assert rows.equals(before), "a check changes nothing"
        assert found.equals(findings_of(name, rows.clone(), look))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("texts", [[], ["one row"], [None]], ids=["no rows", "one row", "one null"])
def test_next_to_nothing_is_no_crash(name: str, texts: list[str | None], rows_of: Rows, look: Look):
    rows = rows_of(texts, ["a"] * len(texts))
    check_contract(findings_of(name, rows, look), rows, name)


@pytest.mark.parametrize("name", [one for one in NAMES if one != "long_text"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.none() | st.text(max_size=60), st.text(min_size=1, max_size=5)), max_size=12))
def test_wild_unicode_is_no_crash(name: str, rows: list[tuple[str | None, str]], rows_of: Rows, look: Look):
    frame = rows_of([text for text, _ in rows], [label for _, label in rows])
    check_contract(findings_of(name, frame, look), frame, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_columns_and_further_columns_do_not_matter(name: str, clean: pl.DataFrame, look: Look):
    more = clean.with_columns(evidence=pl.lit("mine"), score=pl.lit("7"), reason=pl.lit("x"))
    assert findings_of(name, more.select(sorted(more.columns)), look).equals(findings_of(name, clean, look))


def test_a_check_that_lacks_its_library_is_named_and_the_others_go_on(clean: pl.DataFrame, look: Look, monkeypatch: pytest.MonkeyPatch):
    from tunewright.core.errors import EnvironmentProblem

    def missing(*_: object) -> None:
        raise EnvironmentProblem("py3langid is needed here. Install it with: pip install 'tunewright[audit]'")

    monkeypatch.setattr("tunewright.audit.checks.language.identify", missing)
    audit = look.recipe.audit.model_copy(update={"checks": ["language", "class_imbalance"]})
    read = ReadResult(clean, clean.clear(), pl.DataFrame(schema=QUARANTINE_SCHEMA))
    result = audit_rows(read, look.recipe.model_copy(update={"audit": audit}), look.report, look.executor)
    assert "not run: language (py3langid is needed here" in result.summary()[-1]


@pytest.mark.parametrize("name", [one for one in NAMES if plugins.load("checks", one).scope == "row"])
def test_the_measures_of_batches_are_those_of_the_whole(name: str, rows_of: Rows, clean: pl.DataFrame, look: Look):
    check = plugins.build("checks", name)
    odd = rows_of([*ODD, *ODD], ["a"] * 30).with_columns(row_id="odd" + pl.col("row_id"))
    rows = shaped(pl.concat([clean, odd]), check.needs)
    parts = [check.measure(rows[start : start + 70], look) for start in (0, 70, 140, 210)]
    assert check.measure(rows, look).equals(pl.concat([*parts, check.measure(rows[:0], look)], how="vertical_relaxed"))
