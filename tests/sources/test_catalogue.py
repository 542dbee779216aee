"""dataset_info.json of LLaMA-Factory and ms-swift: the named entry is read as they mean it."""

import json
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.core.rows import ReadResult
from tunewright.sources import read_batches, read_rows

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def entry(folder: Path, name: str, info: object, rows: list[dict] | None = None) -> ReadResult:
    (folder / "dataset_info.json").write_text(json.dumps(info))
    if rows is not None:
        (folder / "rows.json").write_text(json.dumps(rows))
    return read_rows(DataSettings(path=str(folder / "dataset_info.json"), dataset=name))


@pytest.mark.parametrize(
    ("info", "row", "layout", "text", "answer"),
    [
        ({}, {"instruction": "i", "input": "x", "output": "o"}, "alpaca", "i\nx", "o"),
        ({"columns": {"prompt": "q", "response": "a"}}, {"q": "i", "a": "o"}, "alpaca", "i", "o"),
        ({"columns": {"prompt": "story"}}, {"story": "once"}, "text", "once", None),
        (
            {"formatting": "sharegpt"},
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]},
            "sharegpt",
            "Hi",
            "Yo",
        ),
        (
            {
                "formatting": "sharegpt",
                "columns": {"messages": "turns"},
                "tags": {"role_tag": "who", "content_tag": "said", "user_tag": "klant", "assistant_tag": "wij"},
            },
            {"turns": [{"who": "klant", "said": "Hi"}, {"who": "wij", "said": "Hello!"}]},
            "sharegpt",
            "Hi",
            "Hello!",
        ),
        ({"formatting": "openai"}, {"messages": TURNS}, "messages", "Hi", "Hello!"),
        (
            {"ranking": True, "columns": {"chosen": "win", "rejected": "lose"}},
            {"instruction": "i", "win": "a", "lose": "b"},
            "preference",
            "i",
            "a",
        ),
        (
            {"ranking": True, "formatting": "sharegpt"},
            {
                "conversations": [{"from": "human", "value": "Hi"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {"from": "gpt", "value": "b"},
            },
            "preference",
            "Hi",
            "a",
        ),
    ],
)
def test_llama_factory_entries(tmp_path: Path, info: dict, row: dict, layout: str, text: str, answer: str | None):
    result = entry(tmp_path, "ours", {"ours": {"file_name": "rows.json"} | info}, [row])
    assert (result.layout, result.rows["text"][0]) == (layout, text)
    assert (result.rows["answer"][0] if answer else None) == answer


@pytest.mark.parametrize(
    ("info", "row"),
    [
        ({"columns": {"input": "query", "output": "response"}}, {"input": "Hi", "output": "Hello!"}),
        ({}, {"messages": TURNS}),
        (
            {"messages": {"role_key": "who", "content_key": "said", "user_role": "A", "assistant_role": "B"}},
            {"messages": [{"who": "A", "said": "Hi"}, {"who": "B", "said": "Hello!"}]},
        ),
    ],
)
def test_ms_swift_entries(tmp_path: Path, info: dict, row: dict):
    result = entry(tmp_path, "ours", [{"dataset_name": "ours", "dataset_path": "rows.json"} | info], [row])
    assert result.rows.select("text", "answer").rows() == [("Hi", "Hello!")]


def test_num_samples_takes_that_many_and_counts_the_others(tmp_path: Path):
    info = {"ours": {"file_name": "rows.json", "num_samples": 3}}
    result = entry(tmp_path, "ours", info, [{"instruction": f"i{index}", "output": "o"} for index in range(10)])
    assert (len(result.rows), len(result.not_selected)) == (3, 7)
    with pytest.raises(DataError, match="cannot be read in batches"):
        next(read_batches(DataSettings(path=str(tmp_path / "dataset_info.json"), dataset="ours")))


def test_the_split_of_a_saved_data_set_is_chosen(tmp_path: Path):
    parts = {name: Dataset.from_dict({"instruction": [name], "output": ["o"]}) for name in ("train", "test")}
    DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    result = entry(tmp_path, "ours", {"ours": {"file_name": "saved", "split": "test"}})
    assert result.rows.select("text", "split").rows() == [("test", "test")]


def test_ms_swift_may_name_several_splits(tmp_path: Path):
    parts = {name: Dataset.from_dict({"query": [name], "response": ["o"]}) for name in ("train", "more", "test")}
    DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    result = entry(tmp_path, "ours", [{"dataset_name": "ours", "dataset_path": "saved", "split": ["train", "more"]}])
    assert result.rows["split"].to_list() == ["train", "more"]


def test_pictures_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"has images \(column 'pics'\); only text is handled"):
        entry(tmp_path, "ours", {"ours": {"file_name": "rows.json", "columns": {"images": "pics"}}}, [{"instruction": "i", "output": "o"}])


def test_hubs_unknown_names_and_a_missing_name_say_what_there_is(tmp_path: Path):
    info = {"far": {"hf_hub_url": "org/data"}, "near": {"file_name": "rows.json"}}
    with pytest.raises(DataError, match=r"far is on a hub \(hf_hub_url: org/data\), and nothing is downloaded here"):
        entry(tmp_path, "far", info)
    with pytest.raises(DataError, match=r"'nera' is not in .* Did you mean 'near'\? It has: far, near"):
        entry(tmp_path, "nera", info)
    with pytest.raises(DataError, match=r"data\.dataset: name one of the data sets in .*: far, near"):
        read_rows(DataSettings(path=str(tmp_path / "dataset_info.json")))
