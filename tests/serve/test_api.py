"""What the endpoints answer, against OpenAI's API where it has them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.serve.conftest import Start
from tests.serve.house import LABELS, ROOT
from tests.serve.words import VOCABULARY
from tunewright.release.calibration import probabilities
from tunewright.serve import replies
from tunewright.serve.schemas import ANY, ChatBody, CompletionBody


def chat(client: TestClient, text: str = "say hello world", **more: Any) -> Any:
    return client.post("/v1/chat/completions", json={"model": "reviews", "messages": [{"role": "user", "content": text}], **more})


def complete(client: TestClient, prompt: Any, **more: Any) -> Any:
    return client.post("/v1/completions", json={"model": "reviews", "prompt": prompt, "temperature": 0, **more})


def events(response: Any) -> list[Any]:
    """The documents of a stream; its end must be there."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_chat_is_answered_with_usage_and_the_version_that_answered(client: TestClient):
    response = chat(client)
    answer = replies.ChatAnswer.model_validate(response.json())
    assert answer.choices[0].message.content == "hello world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.model_dump() == {
        "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}
    }  # fmt: skip
    assert response.headers["x-tunewright-version"] == "reviews@0"
    assert response.headers["x-request-id"] == answer.id


def test_content_in_parts_and_the_developer_role_reach_the_template_as_text_and_system(client: TestClient):
    parts = [{"type": "text", "text": "say "}, {"type": "text", "text": "yes"}]
    body = {"model": "reviews", "messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}]}
    assert client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "yes"
    asked = client.app.state.service.engine._asked[-1]
    assert asked.messages == ({"role": "system", "content": "be brief"}, {"role": "user", "content": "say yes"})


def test_tools_go_to_the_template_unless_tool_choice_hides_them(client: TestClient):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    chat(client, tools=[tool])
    chat(client, tools=[tool], tool_choice="none")
    chat(client, tools=[tool], tool_choice="required")
    assert [(one.tools, one.required) for one in client.app.state.service.engine._asked] == [
        ((tool,), ()),
        ((), ()),
        ((tool,), ("weather",)),
    ]
    assert chat(client, tools=[], tool_choice="required").status_code == 400
    assert chat(client, tools=[tool, tool]).status_code == 400
    assert chat(client, tools=[tool], tool_choice="required", response_format={"type": "json_object"}).status_code == 400


def test_a_stream_says_the_same_in_pieces(client: TestClient):
    told = events(chat(client, "say one two three", stream=True, stream_options={"include_usage": True}))
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in told[:-1]) == "one two three"
    assert told[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [one["choices"][0]["finish_reason"] for one in told[:-1]][-1] == "stop"
    assert told[-1]["choices"] == []
    assert told[-1]["usage"]["completion_tokens"] == 3
    assert len({one["id"] for one in told}) == 1


def test_a_stream_of_several_answers_keeps_them_apart(client: TestClient):
    whole = chat(client, "hi", n=3, seed=5, max_tokens=6).json()
    told = events(chat(client, "hi", n=3, seed=5, max_tokens=6, stream=True))
    texts = ["", "", ""]
    for one in told:
        texts[one["choices"][0]["index"]] += one["choices"][0]["delta"].get("content", "")
    assert texts == [one["message"]["content"] for one in whole["choices"]]
    assert len(set(texts)) == 3
    assert whole["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 18,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


def test_a_seed_gives_the_same_answer_again_and_no_seed_another(client: TestClient):
    with_seed = {chat(client, "hi", seed=7).json()["choices"][0]["message"]["content"] for _ in range(3)}
    without = {chat(client, "hi").json()["choices"][0]["message"]["content"] for _ in range(3)}
    assert len(with_seed) == 1
    assert len(without) > 1


def test_stop_and_max_tokens_end_an_answer(client: TestClient):
    assert chat(client, "say a b STOP c", stop=["STOP"]).json()["choices"][0]["message"]["content"] == "a b "
    choice = chat(client, "say a b c d", max_completion_tokens=2).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a b", "length")


def test_logprobs_of_a_chat_name_token_bytes_and_alternatives(client: TestClient):
    content = chat(client, "say hé", logprobs=True, top_logprobs=2).json()["choices"][0]["logprobs"]["content"]
    assert content[0]["token"] == "hé"
    assert content[0]["bytes"] == [104, 195, 169]
    assert content[0]["logprob"] == -0.5
    assert [one["token"] for one in content[0]["top_logprobs"]] == ["hé", VOCABULARY[0]]


def test_a_json_schema_reaches_the_engine(client: TestClient):
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
    answer = chat(client, response_format=form).json()["choices"][0]["message"]["content"]
    assert json.loads(answer)["answer"] == "yes"
    assert client.app.state.service.engine._asked[-1].sampling.schema == schema
    chat(client, response_format={"type": "json_object"})
    assert client.app.state.service.engine._asked[-1].sampling.schema == {}


def test_a_completion_echoes_its_prompt_with_logprobs_as_lm_eval_reads_them(client: TestClient):
    choice = complete(client, "a b c", echo=True, logprobs=1, max_tokens=1).json()["choices"][0]
    logprobs = choice["logprobs"]
    assert logprobs["tokens"][:3] == ["a", "b", "c"]
    assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
    assert all(own in top.values() for own, top in zip(logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:], strict=True))
    assert logprobs["text_offset"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [("say a", ["a"]), (["say a", "say b"], ["a", "b"]), ([7, 8], [None]), ([[7, 8], [9]], [None, None])],
    ids=["text", "texts", "ids", "lists of ids"],
)
def test_a_completion_takes_texts_and_token_ids_one_or_several(client: TestClient, prompt: Any, texts: list[str | None]):
    choices = complete(client, prompt).json()["choices"]
    assert [one["index"] for one in choices] == list(range(len(texts)))
    assert all(expected in (None, one["text"]) for one, expected in zip(choices, texts, strict=True))
    asked = client.app.state.service.engine._asked
    assert {type(one.prompt) for one in asked} == ({str} if isinstance(texts[0], str) else {tuple})


def test_several_answers_to_several_prompts_stand_in_order(client: TestClient):
    answer = complete(client, ["say a", "say b"], n=2).json()
    assert [one["text"] for one in answer["choices"]] == ["a", "a", "b", "b"]
    assert answer["usage"]["prompt_tokens"] == 4


def test_a_completion_streams(client: TestClient):
    told = events(complete(client, ["say a b", "say c"], stream=True))
    texts = ["", ""]
    for one in told:
        texts[one["choices"][0]["index"]] += one["choices"][0]["text"]
    assert texts == ["a b", "c"]


def test_labels_come_with_the_releases_own_calibration(client: TestClient):
    response = client.post("/v1/classify", json={"model": "reviews", "input": ["I love it", "it broke"]})
    answer = replies.ClassifyAnswer.model_validate(response.json())
    assert [one.answer for one in answer.data] == ["positive", "negative"]
    raw = np.array([[-3.0, -2.5, -1.0]])
    expected = probabilities(raw, {"temperature": 2.0, "prior": None})[0]
    assert [answer.data[0].probabilities[label] for label in LABELS] == pytest.approx(list(expected))
    assert answer.data[0].confidence == pytest.approx(max(expected))
    assert [one.id for one in answer.data] == [f"{answer.id}-0", f"{answer.id}-1"]
    assert answer.calibrated


def test_a_single_text_has_the_id_of_the_request_and_a_cut_one_says_so(client: TestClient):
    answer = client.post("/v1/classify", json={"model": "reviews", "input": "word " * 500}).json()
    assert answer["data"][0]["id"] == answer["id"]
    assert answer["data"][0]["truncated"] is True


def test_a_base_model_has_no_labels(client: TestClient):
    response = client.post("/v1/classify", json={"model": "tiny-base", "input": "I love it"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "no_labels")
    assert chat(client, model="tiny-base").json()["choices"][0]["message"]["content"] == "hello world"


def test_an_explanation_names_the_word_that_moved_the_answer(client: TestClient):
    response = client.post("/v1/explain", json={"model": "reviews", "input": "I really love this screen"})
    answer = replies.ExplainAnswer.model_validate(response.json())
    assert answer.strongest[0] == "love"
    assert answer.sentence == f"It answered positive ({answer.confidence:.0%}) mostly because of “love”."
    weights = {one.word: one.weight for one in answer.words}
    whole, without = [math.log(p / (1 - p)) for p in (answer.confidence, 1 / (2 + math.exp(0.25)))]
    assert weights["love"] == pytest.approx(whole - without)
    assert weights["I"] == pytest.approx(0.0)


def test_an_explanation_of_nothing_but_space_has_no_words(client: TestClient):
    answer = client.post("/v1/explain", json={"model": "reviews", "input": "   "}).json()
    assert answer["words"] == []


def test_models_are_listed_and_described(client: TestClient):
    listed = replies.ModelList.model_validate(client.get("/v1/models").json())
    assert [one.id for one in listed.data] == ["reviews", "reviews@champion", "reviews@0", "tiny-base"]
    card = replies.ModelCard.model_validate(client.get("/v1/models/reviews").json())
    assert (card.version, card.loaded) == ("reviews@0", True)
    assert client.get("/v1/models/nix").json()["error"]["code"] == "model_not_found"


def test_an_unknown_model_gets_404_with_a_suggestion(client: TestClient):
    response = chat(client, model="review")
    assert response.status_code == 404
    assert "Did you mean 'reviews'?" in response.json()["error"]["message"]


@pytest.mark.parametrize("key", ["metadata", "store", "prediction", "safety_identifier", "prompt_cache_key"])
def test_keys_that_change_nothing_are_taken(client: TestClient, key: str):
    assert chat(client, **{key: {"any": "thing"}}).status_code == 200


def test_the_page_of_the_api_names_every_key_that_is_refused():
    page = (ROOT / "docs/reference/http-api.md").read_text()
    refusable = {key for body in (ChatBody, CompletionBody) for key, allowed in body.neutral.items() if allowed is not ANY}
    exotic = {
        "length_penalty",
        "use_beam_search",
        "ignore_eos",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "add_special_tokens",
    }
    exotic |= {"add_generation_prompt", "continue_final_message"}  # of vLLM, for which nobody looks in OpenAI's API
    assert {key for key in refusable - exotic if f"`{key}" not in page} == set()


@pytest.mark.parametrize(
    ("key", "neutral", "other"),
    [
        ("logit_bias", {}, {"50256": -100}),
        ("top_k", -1, 40),
        ("min_p", 0, 0.1),
        ("repetition_penalty", 1.0, 1.2),
        ("modalities", ["text"], ["text", "audio"]),
        ("reasoning_effort", None, "high"),
        ("service_tier", "auto", "flex"),
        ("parallel_tool_calls", True, False),
        ("functions", [], [{"name": "f"}]),
    ],
)
def test_keys_that_would_change_the_answer_are_refused_unless_they_do_not(client: TestClient, key: str, neutral: Any, other: Any):
    assert chat(client, **{key: neutral}).status_code == 200
    response = chat(client, **{key: other})
    assert response.status_code == 400
    assert key in response.json()["error"]["message"]


def test_a_key_that_nobody_knows_is_refused_with_its_name(client: TestClient):
    error = chat(client, temprature=0.2).json()["error"]
    assert error == {
        "message": "temprature: is not a key of this API. Did you mean 'temperature'?",
        "type": "invalid_request_error",
        "param": "temprature",
        "code": "unknown_parameter",
    }


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x"}}]}]}, None),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, None),
        ({"top_logprobs": 2}, None),
        ({"stream_options": {"include_usage": True}}, None),
        ({"stop": ["x"] * 17}, None),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"response_format": {"type": "json_schema"}}, None),
    ],
)
def test_a_mistake_in_the_body_is_400_and_names_its_place(client: TestClient, more: dict[str, Any], param: str | None):
    response = chat(client, **more)
    assert response.status_code == 400
    error = replies.ErrorAnswer.model_validate(response.json()).error
    assert error.type == "invalid_request_error"
    if param is not None:
        assert error.param == param
    assert client.app.state.service.engine._asked == []


def test_what_the_engine_refuses_is_the_callers_error_and_what_breaks_is_ours(client: TestClient):
    refused, broken = chat(client, "please refuse"), chat(client, "go boom")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "refused")
    assert (broken.status_code, broken.json()["error"]["type"]) == (500, "server_error")
    assert "boom" not in broken.json()["error"]["message"]
    assert chat(client).status_code == 200


def test_an_error_in_a_stream_that_has_begun_is_an_event(start: Start):
    client = start("serve.timeout_seconds=0.3")
    lines = [line for line in chat(client, "say a hang", stream=True).text.split("\n\n") if line]
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "timeout"


def test_an_answer_that_takes_too_long_is_504(start: Start):
    client = start("serve.timeout_seconds=0.2")
    response = chat(client, "say hang")
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
    response = client.post("/v1/classify", json={"model": "reviews", "input": "hang"})
    assert response.status_code == 504


def test_feedback_is_taken_by_request_id(client: TestClient):
    told = chat(client).json()["id"]
    body = {"request_id": told, "thumb": "down", "label": "negative", "sampled": "uniform", "event_time": "2026-11-01T10:00:00+02:00"}
    response = client.post("/v1/feedback", json=body)
    assert response.status_code == 202
    assert replies.FeedbackAnswer.model_validate(response.json()).accepted == ["thumb", "label"]


@pytest.mark.parametrize(
    "body",
    [
        {"thumb": "up"},
        {"request_id": "x", "thumb": "up"},
        {"request_id": "cls-" + "0" * 24},
        {"request_id": "cls-" + "0" * 24, "thumb": "sideways"},
        {"request_id": "cls-" + "0" * 24, "thumb": "up", "event_time": "2126-01-01T00:00:00Z"},
        {"request_id": "cls-" + "0" * 24, "thumb": "up", "event_time": "2026-01-01T00:00:00"},
        {"request_id": "cls-" + "0" * 24, "thumb": "up", "approved": True},
    ],
    ids=["no id", "no id of ours", "nothing said", "no thumb", "future", "no offset", "approves itself"],
)
def test_feedback_that_cannot_be_used_is_refused(client: TestClient, body: dict[str, Any]):
    assert client.post("/v1/feedback", json=body).status_code == 400


def test_the_description_has_every_path_with_body_and_errors(client: TestClient):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model}", "/v1/classify", "/v1/explain", "/v1/feedback",
        "/health", "/ready", "/metrics",
    }  # fmt: skip
    page = (ROOT / "docs/reference/http-api.md").read_text()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path.replace('{model}', 'NAME')}`" in page
    post = document["paths"]["/v1/classify"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ClassifyBody"}
    assert "413" in post["responses"]
    assert "422" not in post["responses"]
