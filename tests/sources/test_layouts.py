"""Layouts: what the columns mean is detected with evidence, can be overridden, and becomes text, answer, messages."""

import json

import pytest

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.recipe import Recipe
from tunewright.core.rows import task_of

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]
ANSWERED = [*CHAT, {"role": "assistant", "content": "See you."}]
GPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("row", "layout", "task", "text", "answer"),
    [
        ({"text": "t", "label": "x"}, "text_label", "classification", "t", None),
        ({"text": "t", "other": 1}, "text", "text", "t", None),
        ({"prompt": "p", "completion": "c"}, "prompt_completion", "generation", "p", "c"),
        ({"question": "p", "answer": "c"}, "prompt_completion", "generation", "p", "c"),
        ({"input": "p", "output": "c"}, "prompt_completion", "generation", "p", "c"),
        ({"prompt": CHAT[:1], "completion": CHAT[1:2]}, "prompt_completion", "generation", "Hi", "Hello!"),
        ({"instruction": "i", "input": "x", "output": "o"}, "alpaca", "generation", "i\nx", "o"),
        ({"instruction": "i", "context": "", "response": "o"}, "alpaca", "generation", "i", "o"),
        ({"instruction": "i", "output": "o", "history": [["a", "b"]], "system": "s"}, "alpaca", "generation", "s\n\na\n\nb\n\ni", "o"),
        ({"conversations": GPT, "system": "s"}, "sharegpt", "generation", "s\n\nHi", "Hello!"),
        ({"messages": ANSWERED}, "messages", "generation", "Hi\n\nHello!\n\nBye", "See you."),
        ({"messages": CHAT}, "messages", "generation", "Hi", "Hello!"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preference", "preference", "p", "c"),
        ({"instruction": "i", "input": "x", "chosen": "c", "rejected": "r"}, "preference", "preference", "i\nx", "c"),
        (
            {"conversations": GPT[:1], "chosen": GPT[1], "rejected": {"from": "gpt", "value": "r"}},
            "preference",
            "preference",
            "Hi",
            "Hello!",
        ),
        ({"chosen": CHAT[:2], "rejected": [CHAT[0], {"role": "assistant", "content": "r"}]}, "preference", "preference", "Hi", "Hello!"),
        ({"messages": CHAT[:2], "rejected_response": "r"}, "preference", "preference", "Hi", "Hello!"),
    ],
)
def test_a_layout_is_recognised_and_says_what_it_saw(read, row: dict, layout: str, task: str, text: str, answer: str | None):
    result = read("rows.jsonl", lines(row, row, row))
    assert (result.layout, task_of(result.rows)) == (layout, task)
    assert result.evidence.startswith(f"layout {layout}: column")
    assert result.rows["text"].to_list() == [text] * 3
    assert (result.rows["answer"][0] if "answer" in result.rows.columns else None) == answer
    if task == "preference":
        assert result.rows["rejected"].unique().to_list() == ["r"]


def test_the_evidence_counts_the_sampled_rows(read):
    result = read("rows.jsonl", lines(*[{"conversations": GPT}] * 9, {"conversations": "none"}))
    assert result.evidence == "layout sharegpt: column conversations holds lists of {from, value} in 9 of 10 sampled rows"
    assert result.quarantine.select("line", "reason").rows() == [(10, "not_a_chat")]


def test_two_layouts_that_fit_are_an_error_that_names_both_until_the_recipe_chooses(read):
    row = {"prompt": "p", "completion": "c", "instruction": "i", "output": "o"}
    with pytest.raises(
        DataError, match=r"(?s)more than one layout fits.*alpaca: columns.*prompt_completion: columns.*alpaca or prompt_completion"
    ):
        read("rows.jsonl", lines(row))
    assert read("rows.jsonl", layout="alpaca").rows["answer"].to_list() == ["o"]
    named = read("rows.jsonl", layout={"name": "prompt_completion", "prompt": "instruction", "completion": "completion"})
    assert named.rows.select("text", "answer").rows() == [("i", "c")]
    assert "set by data.layout" in named.evidence


def test_naming_text_and_label_means_classification(read):
    result = read("rows.jsonl", lines({"prompt": "p", "completion": "c"}), text="prompt", label="completion")
    assert result.rows.select("text", "label").rows() == [("p", "c")]


def test_an_unknown_layout_or_column_says_so_with_the_names_that_exist(read):
    with pytest.raises(RecipeError, match=r"data\.layout: 'sharegtp' is not one of the layouts\. Did you mean 'sharegpt'"):
        Recipe.check({"data": {"path": "x.csv", "layout": "sharegtp"}})
    with pytest.raises(DataError, match=r"data\.layout\.messages: there is no column 'chat' in"):
        read("rows.jsonl", lines({"chats": GPT}), layout={"name": "sharegpt", "messages": "chat"})
    with pytest.raises(DataError, match=r"none of the usual columns \(instruction: instruction; output: output, response\); it has a"):
        read("rows.jsonl", lines({"a": 1}), layout="alpaca")


def test_openai_messages_keep_weights_tools_and_tool_calls_and_flatten_text_parts(read):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "it?"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call], "weight": 0},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
        {"role": "assistant", "content": "42", "weight": 1},
    ]
    row = read("rows.jsonl", lines({"messages": messages, "tools": [{"type": "function"}]})).rows.row(0, named=True)
    found = json.loads(row["messages"])
    assert found[0] == {"role": "system", "content": "Be brief."}
    assert found[1] == {"role": "user", "content": "What is it?", "name": "ann"}
    assert found[2] == {"role": "assistant", "content": None, "weight": 0, "tool_calls": [call]}
    assert (found[3]["tool_call_id"], row["answer"], json.loads(row["tools"])) == ("1", "42", [{"type": "function"}])


def test_sharegpt_function_calls_and_observations_become_tool_calls(read):
    turns = [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Köln"}}'},
        {"from": "observation", "value": "rain"},
        {"from": "gpt", "value": "It rains."},
    ]
    row = read("rows.jsonl", lines({"conversations": turns, "tools": "[]"})).rows.row(0, named=True)
    found = json.loads(row["messages"])
    assert [one["role"] for one in found] == ["user", "assistant", "tool", "assistant"]
    assert found[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Köln"}}
    assert row["tools"] is None


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([{"role": "user", "content": "Hi"}], "missing_answer"),
        ([{"role": "narrator", "content": "Hi"}], "unknown_role"),
        ([{"role": "user"}], "no_content"),
        (["Hi"], "not_a_chat"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "not_text"),
        ("Hi", "not_a_chat"),
        (None, "not_a_chat"),
    ],
)
def test_a_chat_that_cannot_be_used_is_quarantined_with_the_reason(read, chat: object, reason: str):
    result = read("rows.jsonl", lines({"messages": CHAT}, {"messages": chat}, {"messages": CHAT}))
    assert result.quarantine.select("line", "reason").rows() == [(2, reason)]
    assert len(result.rows) == 2


def test_blank_answers_are_quarantined(read):
    result = read("rows.csv", "prompt,completion\na,b\nc,  \n")
    assert result.quarantine.select("line", "reason").rows() == [(3, "missing_answer")]
    pairs = read("pairs.csv", "prompt,chosen,rejected\na,b,c\nd,e,\n")
    assert pairs.quarantine.select("line", "reason").rows() == [(3, "missing_rejected")]


def test_columns_with_our_names_get_underscores_until_they_differ(read):
    result = read("rows.csv", "text,label,answer,source,source_\na,x,1,2,3\n")
    assert result.rows.select("answer_", "source__", "source_").row(0) == ("1", "2", "3")


def test_used_columns_leave_unless_the_recipe_names_them(read):
    content = lines({"instruction": "i", "output": "o", "domain": "d", "context": "c"})
    assert read("rows.jsonl", content).rows.columns == ["row_id", "source", "line", "text", "answer", "messages", "domain"]
    assert "context" in read("rows.jsonl", content, groups=["context"]).rows.columns


def test_ids_do_not_depend_on_the_layout(read):
    content = lines({"text": "t", "label": "x"})
    assert read("rows.jsonl", content).rows["row_id"].to_list() == read("rows.jsonl", layout="text").rows["row_id"].to_list()


def test_date_and_slices_must_exist(read):
    with pytest.raises(DataError, match=r"(?s)data\.slices\[0\]: there is no column 'domian' in.*data\.date: there is no column 'day'"):
        read("rows.csv", "text,label,domain\na,x,d\n", slices=["domian"], date="day")
