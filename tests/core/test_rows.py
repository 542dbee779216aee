"""Readers: every record becomes a row or a quarantine line, whatever the bytes are."""

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources import read_columns, read_rows


def read(path: Path, **fields: object):
    return read_rows(DataSettings.model_validate({"path": str(path), **fields}))


def write(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_ragged_lines_broken_quotes_and_broken_utf8_go_to_quarantine_with_their_line(tmp_path: Path):
    path = write(
        tmp_path,
        b'text,label,x\nhello,a,1\n"oops,b,2\nfine,b,3\nragged,b\nbr\xffken,a,3\n"multi\nline",a,3\nq"uote",b,2\nnolab,,2\nhello,a,1\n',
    )
    result = read(path)
    assert result.rows["line"].to_list() == [2, 4, 7, 9, 11]
    assert dict(result.quarantine.select("line", "reason").iter_rows()) == {
        3: "broken_quotes",
        5: "ragged_line",
        6: "broken_encoding",
        10: "missing_label",
    }
    assert result.rows["text"][2] == "multi\nline"


def test_a_stray_quote_swallows_no_other_row(tmp_path: Path):
    good = "".join(f"text {index},a\n" for index in range(50))
    result = read(write(tmp_path, f'text,label\n{good}bad "line"\n"opened,a\n{good}"closed late",a,b\n{good}'))
    assert len(result.rows) == 150
    assert len(result.quarantine) == 3


def test_ids_stay_when_the_file_is_sorted_and_rows_are_added(tmp_path: Path):
    first = read(write(tmp_path, "text,label\nb,x\na,x\na,x\n"))
    second = read(write(tmp_path, "text,label\na,x\nnew,y\na,x\nb,x\n", "other.csv"))
    assert set(first.rows["row_id"]) < set(second.rows["row_id"])
    assert second.rows["row_id"].n_unique() == 4


def test_given_ids_must_be_unique_and_the_error_names_the_lines(tmp_path: Path):
    path = write(tmp_path, "id,text,label\n7,a,x\n8,b,x\n7,c,y\n")
    with pytest.raises(DataError, match=r"lines 2, 4: data.id column 'id' is not unique"):
        read(path, id="id")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("text,label\n", "holds no rows"),
        ("txt,label\na,b\n", "data.text: there is no column 'text'.*Did you mean 'txt'"),
        ("text,text,label\na,b,c\n", "'text' is given 2 times"),
        ("text,label\na,\nb,\n", "empty in every row"),
        (b"text,label\n" + b"\xff\xfe\xfd,a\n" * 5, "5 of 5 records cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str | bytes, message: str):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content))


def test_a_missing_file_and_an_unknown_format_say_what_to_do(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such file"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="Set data.format"):
        read(write(tmp_path, "x", "rows.xlsx"))


def test_tsv_semicolons_bom_and_utf16_are_recognised(tmp_path: Path):
    for name, content in {
        "rows.tsv": b"text\tlabel\nhi, you\ta\n",
        "semi.csv": b"text;label\nhi, you;a\n",
        "bom.csv": '\ufefftext,label\n"hi, you",a\n'.encode(),
        "wide.csv": 'text,label\n"hi, you",a\n'.encode("utf-16"),
    }.items():
        assert read(write(tmp_path, content, name)).rows["text"].to_list() == ["hi, you"], name


def test_another_encoding_is_read_when_the_recipe_names_it(tmp_path: Path):
    path = write(tmp_path, "text,label\ncafé,a\n".encode("cp1252"))
    assert read(path, encoding="cp1252").rows["text"].to_list() == ["café"]
    with pytest.raises(DataError, match=r"data\.encoding"):
        read(path)


def test_jsonl_records_that_cannot_be_used_are_quarantined(tmp_path: Path):
    lines = [
        '{"text": "a", "label": "x", "n": {"k": 1}}',
        '{"text": "b"',
        "[1]",
        '{"text": "c"}',
        "",
        '{"text": "d", "label": 3}',
        '{"text": null, "label": "x"}',
    ]
    result = read(write(tmp_path, "\n".join(lines), "rows.jsonl"))
    assert result.rows.select("line", "text", "label").rows() == [(1, "a", "x"), (6, "d", "3"), (7, None, "x")]
    assert result.quarantine["reason"].to_list() == ["invalid_json", "not_an_object", "missing_field"]
    assert json.loads(result.rows["n"][0]) == {"k": 1}


def test_a_json_list_and_parquet_are_read(tmp_path: Path):
    listed = read(write(tmp_path, '[{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]', "rows.json"))
    assert listed.rows["line"].to_list() == [1, 2]
    frame = pl.DataFrame({"text": ["a", None], "label": [1, 2], "source": ["web", "mail"]})
    frame.write_parquet(tmp_path / "rows.parquet")
    rows = read(tmp_path / "rows.parquet").rows
    assert rows.select("text", "label", "source", "source_").rows() == [
        ("a", "1", "rows.parquet", "web"),
        (None, "2", "rows.parquet", "mail"),
    ]
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read(write(tmp_path, b"PAR1 not really", "bad.parquet"))


def test_where_selects_rows_and_keeps_count_of_the_others(tmp_path: Path):
    path = write(tmp_path, "text,label,kind\na,x,1\nb,y,2\nc,x,1\n")
    result = read(path, where={"kind": "1"})
    assert (result.rows["text"].to_list(), result.not_selected["text"].to_list()) == (["a", "c"], ["b"])
    with pytest.raises(DataError, match="selects none"):
        read(path, where={"kind": "9"})


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(cells, cells.filter(str.strip)), min_size=1, max_size=20))
def test_whatever_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("text", "label"), *rows])
    path = write(tmp_path_factory.mktemp("csv"), stream.getvalue())
    result = read(path)
    assert result.rows.select("text", "label").rows() == rows
    assert result.quarantine.is_empty()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_wild_bytes_between_good_lines_lose_none_of_them(tmp_path_factory: pytest.TempPathFactory, wild: list[bytes]):
    good = [f"good{index}" for index in range(len(wild) + 2)]
    content = "".join(f"{name},a\n" for name in good[len(wild) :]).encode()
    content += b"".join(one + b"\n" + name.encode() + b",a\n" for one, name in zip(wild, good, strict=False))
    path = write(tmp_path_factory.mktemp("wild"), b"text,label\n" + content)
    try:
        result = read(path)
    except DataError:
        return
    ids = pl.concat([result.rows["row_id"], result.quarantine["row_id"]])
    assert ids.n_unique() == len(ids)
    seen = "\n".join([*result.rows["text"].drop_nulls(), *result.rows["label"].drop_nulls(), *result.quarantine["raw"].drop_nulls()])
    assert [name for name in good if name not in seen] == []


def test_read_columns_needs_no_description(tmp_path: Path):
    assert read_columns(DataSettings(path=str(write(tmp_path, '{"q": "a", "kind": "x"}\n', "rows.jsonl")))).columns == ["q", "kind"]


def test_a_system_message_is_one_word_where_rows_are_compared():
    from tunewright.core.rows import asked, compared
    from tunewright.sources import chat

    def row(system: str, said: str) -> tuple[str, str, str]:
        talk = [{"role": "system", "content": system}, {"role": "user", "content": said}, {"role": "assistant", "content": "yes"}]
        return (*chat.split(talk), chat.dumped(talk))

    frames = ['Be "kind".\n\\ é😀\u0001 ' * 30, "Be brief."]
    rows = pl.DataFrame(
        [row(frames[0], "hi"), row(frames[0], "ho"), row(frames[1], "hi")], schema=["text", "answer", "messages"], orient="row"
    )
    words = [one.split() for one in asked(rows)]
    assert [one[1:] for one in words] == [["hi"], ["ho"], ["hi"]]
    assert words[0][0] == words[1][0] != words[2][0]
    assert compared(rows)[0] == f"{words[0][0]} hi\nyes"
    plain = pl.DataFrame({"text": ["hi"], "answer": ["yes"], "messages": [None]}, schema_overrides={"messages": pl.String})
    assert (asked(plain)[0], compared(plain)[0], compared(plain.drop("messages", "answer"))[0]) == ("hi", "hi\nyes", "hi")
