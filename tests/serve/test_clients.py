"""Clients that people use, against a real server on loopback: openai, curl, lm-eval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from tests.serve.house import Running, make_release, running

CURL = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none-needed", max_retries=0)


def test_openai_chat(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model="reviews",
        messages=[{"role": "user", "content": "say hello world"}],
        max_tokens=10,
        temperature=0,
        logprobs=True,
        top_logprobs=1,
    )
    assert answer.choices[0].message.content == "hello world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 1
    assert answer.choices[0].logprobs is not None
    assert answer._request_id == answer.id


def test_openai_stream(client: openai.OpenAI):
    stream = client.chat.completions.create(
        model="reviews", messages=[{"role": "user", "content": "say a b c"}], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "a b c"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_openai_stream_helper_and_parse(client: openai.OpenAI):
    from pydantic import BaseModel

    class Reply(BaseModel):
        answer: str
        words: int

    messages = [{"role": "user", "content": "say a b"}]
    with client.chat.completions.stream(model="reviews", messages=messages) as stream:  # type: ignore[arg-type]
        assert stream.get_final_completion().choices[0].message.content == "a b"
    parsed = client.chat.completions.parse(model="reviews", messages=messages, response_format=Reply)  # type: ignore[arg-type]
    assert parsed.choices[0].message.parsed == Reply(answer="yes", words=3)


def test_openai_completions_and_models(client: openai.OpenAI):
    answer = client.completions.create(model="reviews@1", prompt=["say x", "say y"], max_tokens=3, temperature=0, logprobs=1, echo=True)
    assert [one.text for one in answer.choices] == ["say xx", "say yy"]
    assert [one.id for one in client.models.list()] == ["reviews", "reviews@champion", "reviews@2", "reviews@1", "tiny-base"]
    assert client.models.retrieve("reviews@2").id == "reviews@2"
    raw = client.completions.with_raw_response.create(model="reviews@2", prompt="say x", temperature=0)
    assert raw.headers["x-tunewright-version"] == "reviews@2"


def test_openai_errors_have_their_classes(client: openai.OpenAI):
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nix", messages=messages)  # type: ignore[arg-type]
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="reviews", messages=messages, extra_body={"top_k": 40})  # type: ignore[arg-type]
    assert "top_k is not supported here" in wrong.value.message
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="reviews", messages=[{"role": "user", "content": "boom"}])


def test_openai_async_client_many_at_once(server: Running):
    import asyncio

    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:

            async def one(number: int) -> str | None:
                said = [{"role": "user", "content": f"say {number}"}]
                answer = await client.chat.completions.create(model="reviews", messages=said)  # type: ignore[arg-type]
                return answer.choices[0].message.content

            return list(await asyncio.gather(*(one(number) for number in range(40))))

    assert asyncio.run(ask()) == [str(number) for number in range(40)]


def test_curl_streams_line_by_line(server: Running):
    body = {"model": "reviews", "messages": [{"role": "user", "content": "say a b"}], "stream": True}
    done = subprocess.run(
        [*CURL, "-N", f"{server.url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", json.dumps(body), "-D", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    head, _, rest = done.stdout.partition("\n\n")
    assert "content-type: text/event-stream" in head.lower()
    events = rest.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert all(json.loads(event.removeprefix("data: ")) for event in events[:-1])


def test_the_printed_curl_command_works(server: Running, tmp_path: Path):
    body = {"model": "reviews", "input": "I love it"}
    url = f"{server.url}/v1/classify"
    done = subprocess.run([*CURL, url, "-H", "Content-Type: application/json", "-d", json.dumps(body)], capture_output=True, check=True)
    assert json.loads(done.stdout)["data"][0]["answer"] == "positive"


TASK = """
task: is_it_{kind}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
doc_to_text: "Text: {{{{text}}}}\\nAnswer:"
doc_to_target: "{{{{label}}}}"
{more}
"""
CHOICES = "output_type: multiple_choice\ndoc_to_choice: [bad, good]\nmetric_list: [{metric: acc}]"
GENERATES = "output_type: generate_until\ngeneration_kwargs: {until: ['\\n'], max_gen_toks: 8}\nmetric_list: [{metric: exact_match}]"


EVALUATE = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

for name, kind, arguments, tasks, chat in json.load(sys.stdin):
    manager = TaskManager(include_path=".", include_defaults=False)
    found = simple_evaluate(model=kind, model_args=arguments, tasks=tasks, apply_chat_template=chat, task_manager=manager,
                            bootstrap_iters=0, batch_size=4, device="cpu", random_seed=1, log_samples=True)
    samples = {task: [one["filtered_resps"] for one in rows] for task, rows in found["samples"].items()}
    with open(f"{name}.json", "w") as out:
        json.dump({"results": found["results"], "samples": samples}, out)
"""


@pytest.mark.slow
def test_lm_eval_scores_and_generates_through_the_endpoint_as_it_does_on_the_model_itself(tmp_path: Path):
    """A tiny real model: `local-completions` over HTTP gives what lm-eval's own Hugging Face class gives."""
    from tunewright.testing.tiny import tiny_model

    model = tiny_model(tmp_path / "tiny")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"text": f"the phone number {n} is bright", "label": ["bad", "good"][n % 2]}) + "\n" for n in range(12))
    )
    for kind, more in (("choice", CHOICES), ("said", GENERATES)):
        (tmp_path / f"{kind}.yaml").write_text(TASK.format(kind=kind, rows=rows, more=more))
    with running(tmp_path, model) as server:
        url, common = f"{server.url}/v1", {"model": "tiny", "max_retries": 1}
        completions = {
            **common,
            "base_url": f"{url}/completions",
            "tokenizer": str(model),
            "tokenizer_backend": "huggingface",
            "num_concurrent": 4,
        }
        chats = {**common, "base_url": f"{url}/chat/completions", "num_concurrent": 2}
        both = ["is_it_choice", "is_it_said"]
        jobs = [
            ("http", "local-completions", completions, both, False),
            ("chat", "local-chat-completions", chats, ["is_it_said"], True),
            ("hf", "hf", {"pretrained": str(model), "dtype": "float32"}, both, False),
        ]
        offline = {
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "hf"),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        done = subprocess.run(
            [sys.executable, "-c", EVALUATE], input=json.dumps(jobs), capture_output=True, text=True, cwd=tmp_path, env=os.environ | offline
        )
        assert done.returncode == 0, done.stderr[-3000:]
    ours, chatted, theirs = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("http", "chat", "hf"))
    assert ours["results"]["is_it_choice"]["acc,none"] == theirs["results"]["is_it_choice"]["acc,none"]
    assert ours["samples"]["is_it_said"] == theirs["samples"]["is_it_said"]
    for one, other in zip(ours["samples"]["is_it_choice"], theirs["samples"]["is_it_choice"], strict=True):
        assert [likelihood for likelihood, _ in one] == pytest.approx([likelihood for likelihood, _ in other], abs=2e-3)
        assert [greedy for _, greedy in one] == [greedy for _, greedy in other]
    assert len(chatted["samples"]["is_it_said"]) == 12


def test_a_run_and_a_release_are_served_by_the_directorys_name(tmp_path: Path):
    make_release(tmp_path / "runs" / "demo" / "release")
    with running(tmp_path, tmp_path / "runs" / "demo", "--set", "serve.queue=3") as server:
        assert server.said["names"] == ["demo", "demo@champion", "demo@0", "tiny-base"]
        assert server.said["versions"] == {"demo@0": "APPROVED: SHIP."}
