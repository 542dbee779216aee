"""`tunewright init` on every kind of data: what it saw is said, and the recipe loads and reads the rows."""

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from tunewright.cli import main
from tunewright.core.recipe import Recipe
from tunewright.core.rows import task_of
from tunewright.sources import read_rows

CHAT = {"messages": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello!"}]}


def init(data: str, folder: Path, *more: str) -> tuple[Recipe, str]:
    output = folder / "recipe.yaml"
    assert main(["init", data, "-o", str(output), *more]) == 0
    return Recipe.load(output), output.read_text()


def lines(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("row", "layout", "task"),
    [
        (CHAT, "messages", "generation"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}, "sharegpt", "generation"),
        ({"instruction": "Say it", "input": "", "output": "it"}, "alpaca", "generation"),
        ({"question": "Why?", "answer": "Because it is so"}, "prompt_completion", "generation"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "No"}, "preference", "preference"),
        ({"text": "Once upon a time there was a story"}, "text", "text"),
    ],
)
def test_a_layout_is_proposed_with_its_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict, layout: str, task: str):
    recipe, text = init(lines(tmp_path / "rows.jsonl", [row] * 30), tmp_path)
    assert recipe.data.layout == layout
    assert f"# layout {layout}: column" in text
    assert "\ntune:" not in text
    assert recipe.prepare.steps == ["repair_text", "drop_empty", "drop_exact_duplicates", "drop_near_duplicates", "redact_pii"]
    assert "run " + str(tmp_path / "recipe.yaml") + " --until prepare" in capsys.readouterr().out
    assert task_of(read_rows(recipe.data).rows) == task


def test_dates_groups_and_slices_are_proposed(tmp_path: Path):
    rows = [
        CHAT | {"customer": f"c{index % 25}", "day": f"2024-03-{1 + index % 28:02}", "domain": "ab"[index % 2], "score": 0.5, "id": index}
        for index in range(60)
    ]
    recipe, text = init(lines(tmp_path / "rows.jsonl", rows), tmp_path)
    assert (recipe.data.groups, recipe.data.date, recipe.data.slices) == (["customer"], "day", ["domain"])
    assert "# slices: domain (2 values); their values are compared for bias" in text


def test_a_short_column_with_a_label_s_name_makes_plain_text_a_classification(tmp_path: Path):
    rows = [{"text": f"a rather long text {index}", "sentiment": "good" if index % 2 else "bad"} for index in range(30)]
    recipe, _ = init(lines(tmp_path / "rows.jsonl", rows), tmp_path)
    assert (recipe.data.text, recipe.data.label) == ("text", "sentiment")


def test_answers_that_are_a_few_labels_mean_classification(tmp_path: Path):
    rows = [{"question": f"is number {index} a good one", "answer": "yes" if index % 3 else "no"} for index in range(60)]
    recipe, text = init(lines(tmp_path / "rows.jsonl", rows), tmp_path)
    assert (recipe.data.text, recipe.data.label) == ("question", "answer")
    assert "# answer could be free text too, were there more of it: data.layout: prompt_completion" in text


def test_a_database_needs_a_query_and_gets_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE t (body TEXT, mood TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"words and more words {index}", "ab"[index % 2]) for index in range(30)])
    connection.close()
    url = f"sqlite:///{tmp_path}/shop.db"
    assert main(["init", url, "-o", str(tmp_path / "r.yaml")]) == 2
    assert "data.query: is needed" in capsys.readouterr().err
    recipe, _ = init(url, tmp_path, "--set", "data.query=SELECT * FROM t")
    assert (recipe.data.path, recipe.data.text, recipe.data.label) == (url, "body", "mood")
    assert len(read_rows(recipe.data).rows) == 30


def test_two_layouts_are_not_chosen_between(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = lines(tmp_path / "rows.jsonl", [CHAT | {"prompt": "p", "completion": "c"}] * 5)
    assert main(["init", data, "-o", str(tmp_path / "r.yaml")]) == 2
    assert "Set data.layout to messages or prompt_completion" in capsys.readouterr().err
    recipe, _ = init(data, tmp_path, "--set", "data.layout=messages")
    assert recipe.data.layout == "messages"


def test_the_entry_of_a_dataset_info_is_kept(tmp_path: Path):
    lines(tmp_path / "rows.jsonl", [{"instruction": f"i{index}", "output": "o"} for index in range(20)])
    (tmp_path / "dataset_info.json").write_text(json.dumps({"ours": {"file_name": "rows.jsonl"}}))
    recipe, _ = init(str(tmp_path / "dataset_info.json"), tmp_path, "--set", "data.dataset=ours")
    assert recipe.data.dataset == "ours"
    assert len(read_rows(recipe.data).rows) == 20


def test_audit_looks_at_a_chat_file_without_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["red", "green", "blue", "round", "square", "heavy", "light", "fast", "slow", "old", "new", "north", "south", "east", "west"]
    rows = [
        {"prompt": f"What is {words[index]} and {words[-index]}?", "completion": f"It is {words[index - 3]} or {words[index - 5]}."}
        for index in range(15)
    ]
    assert main(["audit", lines(tmp_path / "rows.jsonl", rows), "--set", "audit.checks=[exact_duplicates]"]) == 0
    out = capsys.readouterr().out
    assert "15 rows with a free-text answer" in out
    assert "layout prompt_completion: columns prompt and completion" in out


def test_rows_without_classes_are_audited_and_prepared_and_later_stages_say_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [
        "red",
        "green",
        "blue",
        "round",
        "square",
        "heavy",
        "light",
        "fast",
        "slow",
        "old",
        "new",
        "north",
        "south",
        "east",
        "west",
        "up",
    ]
    texts = [" ".join(sorted(words, key=lambda word: hash_of(word, index))[:6]) for index in range(40)]
    rows = [{"prompt": text, "chosen": f"Yes, {text}", "rejected": f"No, {text}"} for text in texts]
    init(lines(tmp_path / "rows.jsonl", rows), tmp_path)
    run = ["run", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run"), "--set", "audit.checks=[exact_duplicates]"]
    assert main([*run, "--until", "prepare"]) == 0
    assert (tmp_path / "run" / "prepare" / "train.parquet").is_file()
    assert main(run) == 2
    assert "tune: the rows are for preference (data.layout), and tune handles classification today" in capsys.readouterr().err


@pytest.mark.slow
def test_the_doctor_says_what_rows_without_classes_are_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    init(lines(tmp_path / "rows.jsonl", [CHAT] * 5), tmp_path)
    assert main(["doctor", str(tmp_path / "recipe.yaml")]) == 0
    assert "the rows are for generation: audit and prepare handle them" in capsys.readouterr().out


def hash_of(word: str, index: int) -> str:
    return hashlib.sha256(f"{word}{index}".encode()).hexdigest()
