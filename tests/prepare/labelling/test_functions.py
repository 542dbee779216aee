"""Labelling functions: the decorator, the file, the votes, and what happens when a function fails."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright.core.errors import DataError
from tunewright.core.progress import Report
from tunewright.prepare.labelling import ABSTAIN, labeling_function, labelling_function
from tunewright.prepare.labelling.load import load_functions
from tunewright.prepare.labelling.votes import Votes, cast_votes

HEAD = "from tunewright.prepare.labelling import ABSTAIN, labelling_function, labeling_function\nimport polars as pl\n"


def votes_of(tmp_path: Path, code: str, texts: list[str], labels: list[str] | None = None, **more: Any) -> Votes:
    path = tmp_path / "rules.py"
    path.write_text(HEAD + code)
    rows = pl.DataFrame(
        {"row_id": [f"r{one}" for one in range(len(texts))], "source": "x.csv", "line": range(2, len(texts) + 2), "text": texts} | more
    )
    return cast_votes(load_functions(path), rows, labels, Report(quiet=True))


def said(votes: Votes) -> list[list[str | None]]:
    return [[None if one < 0 else votes.labels[one] for one in line] for line in votes.matrix.tolist()]


def test_the_us_spelling_is_the_same():
    assert labeling_function is labelling_function


def test_a_decorator_without_parentheses_says_so():
    with pytest.raises(TypeError, match="parentheses"):
        labelling_function(lambda x: 1)  # type: ignore[arg-type]


def test_name_resources_and_preprocessors_are_as_in_snorkel():
    class Row:
        text = "HELLO"

    def lower(x: Any) -> Any:
        x.text = x.text.lower()
        return x

    @labelling_function(name="greets", resources={"words": {"hello"}}, pre=[lower])
    def rule(x: Any, words: set[str]) -> int:
        return 1 if x.text in words else ABSTAIN

    assert (rule.name, rule(Row())) == ("greets", 1)


def test_rows_have_the_columns_of_the_file_as_attributes(tmp_path: Path):
    code = "@labelling_function()\ndef a(x):\n    return 'hot' if x.place == 'desert' else 'cold'"
    assert said(votes_of(tmp_path, code, ["x", "y"], place=["desert", "pole"])) == [["hot"], ["cold"]]


@pytest.mark.parametrize(
    "body",
    [
        "pl.when(pl.col('text') == 'x').then(pl.lit('hot'))",
        "rows['text'].replace_strict({'x': 'hot'}, default=None)",
        "['hot', None]",
        "(pl.col('text') == 'x').cast(pl.Int64) * 2 - 1 + (pl.col('text') == 'x') * -1",
    ],
)
def test_a_function_of_the_frame_may_give_an_expression_a_series_or_a_list(tmp_path: Path, body: str):
    code = f"LABELS = ['hot', 'cold']\n@labelling_function(frame=True)\ndef a(rows):\n    return {body}"
    assert said(votes_of(tmp_path, code, ["x", "y"])) == [["hot"], [None]]


def test_numbers_count_from_the_files_labels(tmp_path: Path):
    code = "LABELS = ['no', 'yes']\n@labelling_function()\ndef a(x):\n    return 1 if x.text == 'x' else 0"
    assert said(votes_of(tmp_path, code, ["x", "y"])) == [["yes"], ["no"]]


def test_constants_as_in_snorkels_tutorials_name_the_labels(tmp_path: Path):
    code = "ABSTAIN = -1\nHAM = 0\nSPAM = 1\n@labeling_function()\ndef a(x):\n    return SPAM if 'x' in x.text else HAM"
    assert said(votes_of(tmp_path, code, ["x", "y"])) == [["spam"], ["ham"]]


def test_a_file_written_for_snorkel_runs_as_it_is(tmp_path: Path):
    path = tmp_path / "old.py"
    path.write_text(
        "from snorkel.labeling import labeling_function\nABSTAIN = -1\nHAM = 0\nSPAM = 1\n"
        "@labeling_function(resources={'words': ['x']})\ndef a(x, words):\n    return SPAM if x.text in words else ABSTAIN\n"
    )
    rows = pl.DataFrame({"row_id": ["r0", "r1"], "source": "s", "line": [2, 3], "text": ["x", "y"]})
    assert said(cast_votes(load_functions(path), rows, None, Report(quiet=True))) == [["spam"], [None]]


def test_a_function_that_fails_abstains_and_names_row_and_line(tmp_path: Path):
    votes = votes_of(tmp_path, "@labelling_function()\ndef a(x):\n    return {'x': 'hot'}[x.text]", ["x", "y", "y"])
    assert said(votes) == [["hot"], [None], [None]]
    assert votes.failures["a"].count == 2
    assert votes.failures["a"].first[0] == "row r1 (x.csv line 3): KeyError: 'y'"


@pytest.mark.parametrize(
    ("vote", "why"),
    [
        ("'hott'", "Did you mean 'hot'"),
        ("7", "none of the 2 labels"),
        ("True", "but got True"),
        ("0.5", "but got 0.5"),
        ("['hot']", "but got"),
    ],
)
def test_a_vote_that_is_no_label_is_a_failure(tmp_path: Path, vote: str, why: str):
    votes = votes_of(
        tmp_path, f"LABELS = ['hot', 'cold']\n@labelling_function()\ndef a(x):\n    return {vote} if x.text == 'y' else 'hot'", ["x", "y"]
    )
    assert (votes.failures["a"].count, said(votes)[1]) == (1, [None])
    assert why in votes.failures["a"].first[0]


def test_numbers_without_labels_are_failures_that_say_what_to_write(tmp_path: Path):
    code = "@labelling_function()\ndef a(x):\n    return 1\n@labelling_function()\ndef b(x):\n    return 'hot'"
    assert "LABELS" in votes_of(tmp_path, code, ["x"]).failures["a"].first[0]


def test_a_frame_function_that_fails_abstains_everywhere(tmp_path: Path):
    code = "@labelling_function(frame=True)\ndef a(rows):\n    return ['hot']\n@labelling_function()\ndef b(x):\n    return 'hot'"
    votes = votes_of(tmp_path, code, ["x", "y"])
    assert (votes.failures["a"].count, said(votes)) == (2, [[None, "hot"], [None, "hot"]])
    assert "1 votes for 2 rows" in votes.failures["a"].first[0]


def test_functions_do_not_see_known_labels(tmp_path: Path):
    code = "@labelling_function()\ndef a(x):\n    return x.label\n@labelling_function()\ndef b(x):\n    return 'hot'"
    assert votes_of(tmp_path, code, ["x"], label=["hot"]).failures["a"].count == 1


def test_no_vote_at_all_is_an_error_with_the_first_failure(tmp_path: Path):
    with pytest.raises(DataError, match="ZeroDivisionError"):
        votes_of(tmp_path, "@labelling_function()\ndef a(x):\n    return 1 / 0", ["x"])


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("x = 1", "no labelling function"),
        ("import nothing_of_this_name", "line 3: cannot be run"),
        ("def broken(:", "cannot be run"),
        ("LABELS = ['a', 'a']\n@labelling_function()\ndef f(x):\n    return 'a'", "each label once"),
        ("@labelling_function()\ndef f(x):\n    return 'a'\n@labelling_function(name='f')\ndef g(x):\n    return 'a'", "called 'f'"),
    ],
)
def test_a_file_that_is_wrong_says_why(tmp_path: Path, code: str, why: str):
    with pytest.raises(DataError, match=why):
        votes_of(tmp_path, code, ["x"])


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="no file"):
        load_functions(tmp_path / "none.py")
