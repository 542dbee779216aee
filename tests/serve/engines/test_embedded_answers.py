"""Answers of the embedded engine: those of transformers, whoever shares the step; and every rule that a request may set."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.serve.engines.house import answer, ask, engine, generated, pieces, run
from tunewright.models.load import load_tokenizer, load_weights
from tunewright.serve.engine import EngineError, Request, Sampling
from tunewright.testing.tiny import tiny_model

torch.set_num_threads(1)
PROMPTS = [
    "It broke",
    "The battery lasts all day and the screen",
    "a",
    "It is a phone. It makes calls and sends messages, nothing more and",
    "🙂 ça",
    "Do not buy " * 30,
]
FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gpt_neox", "olmo2", "phi3", "starcoder2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_are_those_of_generate_alone_together_and_when_rows_come_and_go(family: str, tmp_path: Path):
    base = tiny_model(tmp_path / family, family)
    model, tokenizer = load_weights(base), load_tokenizer(str(base))
    expected = [generated(model, tokenizer, prompt) for prompt in PROMPTS]

    async def test():
        async with engine({"m": base}, prefill_tokens=16, max_rows=4, prefix_gb=0) as running:
            alone = [(await answer(running, ask("m", prompt)))[0] for prompt in PROMPTS]
            together = await asyncio.gather(*(answer(running, ask("m", prompt)) for prompt in PROMPTS))
            slow = asyncio.create_task(answer(running, ask("m", PROMPTS[0])))
            late = []
            for prompt in PROMPTS[1:]:
                await asyncio.sleep(0.005)
                late.append(asyncio.create_task(answer(running, ask("m", prompt))))
            staggered = [(await one)[0] for one in (slow, *late)]
            return alone, [text for text, _ in together], staggered

    assert list(run(test)) == [expected] * 3


def test_a_sliding_window_is_kept_while_reading_and_while_decoding(tmp_path: Path):
    base = tiny_model(tmp_path / "mistral", "mistral")
    config = json.loads((base / "config.json").read_text()) | {"sliding_window": 12}
    (base / "config.json").write_text(json.dumps(config))
    model, tokenizer = load_weights(base), load_tokenizer(str(base))
    expected = [generated(model, tokenizer, prompt) for prompt in PROMPTS]

    async def test():
        async with engine({"m": base}, prefill_tokens=16) as running:
            return [text for text, _ in await asyncio.gather(*(answer(running, ask("m", prompt)) for prompt in PROMPTS))]

    assert run(test) == expected


def test_the_prefix_cache_changes_no_answer_and_is_told(base: Path):
    prompt = "It is a phone. It makes calls and sends messages, nothing more and nothing less. " * 3

    async def test():
        async with engine({"m": base}) as running:
            first, last = await answer(running, ask("m", prompt))
            again, cached = await answer(running, ask("m", prompt))
            longer, turn = await answer(running, ask("m", prompt + first))
            fresh = engine({"m": base}, prefix_gb=0)
            async with fresh as other:
                return first, last, again, cached, longer, turn, (await answer(other, ask("m", prompt + first)))[0], running.load_now()

    first, last, again, cached, longer, turn, expected, gauges = run(test)
    assert (first, longer) == (again, expected)
    assert last.usage.cached_tokens == 0 < cached.usage.cached_tokens < cached.usage.prompt_tokens
    assert turn.usage.cached_tokens >= cached.usage.cached_tokens
    assert 0 < gauges["prefix_cache_hit_rate"] < 1


def test_usage_counts_tokens_and_the_end_is_told(base: Path):
    async def test():
        async with engine({"m": base}) as running:
            return (await answer(running, ask("m", "It broke", max_tokens=5)))[1]

    last = run(test)
    assert (last.finish, last.usage.completion_tokens) == ("length", 5)
    assert last.usage.prompt_tokens == len(load_tokenizer(str(base))("It broke")["input_ids"])
    assert last.usage.mean_logprob < 0 <= last.usage.queue_seconds


def test_an_end_token_ends_the_answer_and_is_no_part_of_its_text(base: Path):
    async def test():
        async with engine({"m": base}) as running:
            before = await pieces(running, ask("m", "It broke", logprobs=0))
            tokens = [one for piece in before for one in piece.tokens]
            config = json.loads((base / "generation_config.json").read_text())
            ended = base.with_name("ended")
            shutil.copytree(base, ended, dirs_exist_ok=True)
            (ended / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": [2, tokens[6].id]}))
            await running.load("m", ended)
            return [one.id for one in tokens], tokens[6].id, await pieces(running, ask("m", "It broke", logprobs=0))

    ids, end, found = run(test)
    assert found[-1].finish == "stop"
    assert [one.id for piece in found for one in piece.tokens] == ids[: ids.index(end)]
    assert found[-1].usage.completion_tokens == ids.index(end) + 1


def test_seeded_answers_do_not_depend_on_who_shares_the_step(base: Path):
    async def test():
        async with engine({"m": base}, prefix_gb=0) as running:
            warm = {"temperature": 1.3, "max_tokens": 20}
            alone = [(await answer(running, ask("m", "It broke", seed=seed, **warm)))[0] for seed in range(6)]
            crowd = [ask("m", "It broke", seed=seed, **warm) for seed in range(6)] + [ask("m", prompt, **warm) for prompt in PROMPTS]
            together = await asyncio.gather(*(answer(running, one) for one in crowd))
            other = (await answer(running, ask("m", "It broke", seed=-5, top_p=0.7, **warm)))[0]
            same = (await answer(running, ask("m", "It broke", seed=-5, top_p=0.7, **warm)))[0]
            return alone, [text for text, _ in together][:6], other, same

    alone, together, other, same = run(test)
    assert alone == together
    assert len(set(alone)) == 6
    assert other == same


@pytest.mark.parametrize("size", [1, 3, 6])
def test_a_stop_string_ends_the_answer_and_no_part_of_it_gets_out(base: Path, size: int):
    whole = generated(load_weights(base), load_tokenizer(str(base)), "It broke", 24)
    stop = whole[9 : 9 + size]

    async def test():
        async with engine({"m": base}) as running:
            return await pieces(running, ask("m", "It broke", stop=("never said", stop), logprobs=0))

    found = run(test)
    text = "".join(piece.text for piece in found)
    assert text == whole[: whole.index(stop)]
    assert found[-1].finish == "stop"
    assert "".join(one.text for piece in found for one in piece.tokens).startswith(text)


def test_logprobs_are_those_of_the_model_with_alternatives(base: Path):
    model, tokenizer = load_weights(base), load_tokenizer(str(base))

    async def test():
        async with engine({"m": base}) as running:
            return await pieces(running, ask("m", "It broke", logprobs=3, max_tokens=8, temperature=2.0, seed=3, frequency_penalty=1.0))

    tokens = [one for piece in run(test) for one in piece.tokens]
    prompt = tokenizer("It broke")["input_ids"]
    ids = torch.tensor([prompt + [one.id for one in tokens]])
    expected = model(ids).logits[0].log_softmax(-1)
    assert len(tokens) == 8
    for place, one in enumerate(tokens):
        line = expected[len(prompt) - 1 + place]
        assert one.logprob == pytest.approx(float(line[one.id]), abs=1e-4)
        best = line.topk(3)
        assert [value for _, value in one.top] == pytest.approx(best.values.tolist(), abs=1e-4)
        assert [text for text, _ in one.top] == [tokenizer.decode([token]) for token in best.indices.tolist()]


@pytest.mark.parametrize("max_tokens", [0, 2])
def test_echo_gives_the_prompt_back_with_its_logprobs(base: Path, max_tokens: int):
    model, tokenizer = load_weights(base), load_tokenizer(str(base))
    prompt = "The battery lasts all day and the screen is bright, I love it."
    ids = tokenizer(prompt)["input_ids"]

    async def test():
        async with engine({"m": base}, prefill_tokens=16) as running:
            request = ask("m", tuple(ids), logprobs=2, max_tokens=max_tokens)
            echo = Request("m", prompt=request.prompt, sampling=request.sampling, echo=True)
            await pieces(running, request)
            return await asyncio.gather(pieces(running, echo), pieces(running, echo))

    lines = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    for found in run(test):
        tokens = [one for piece in found for one in piece.tokens]
        assert "".join(piece.text for piece in found).startswith(prompt)
        assert [one.id for one in tokens[: len(ids)]] == ids
        assert tokens[0].logprob is None
        told = [one.logprob for one in tokens[1 : len(ids)]]
        assert told == pytest.approx([float(lines[i, token]) for i, token in enumerate(ids[1:])], abs=1e-4)
        assert len(tokens) == len(ids) + max_tokens == len(ids) + found[-1].usage.completion_tokens


def test_penalties_forbid_repetition(base: Path):
    async def test():
        async with engine({"m": base}) as running:
            found = await pieces(running, ask("m", "It broke", logprobs=0, max_tokens=40, presence_penalty=2.0, frequency_penalty=1000.0))
            return [one.id for piece in found for one in piece.tokens]

    ids = run(test)
    assert len(set(ids)) == len(ids) == 40


def test_a_json_schema_is_obeyed_at_any_temperature(base: Path):
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["good", "bad"]}, "sure": {"type": "boolean"}},
        "required": ["label", "sure"],
        "additionalProperties": False,
    }

    async def test():
        async with engine({"m": base}) as running:
            warm = {"temperature": 2.0, "schema": schema, "max_tokens": 200}
            found = await asyncio.gather(*(answer(running, ask("m", "It broke", seed=seed, **warm)) for seed in range(8)))
            with pytest.raises(EngineError) as bad:
                await answer(running, ask("m", "It broke", schema={"type": "no such type"}))
            return found, bad.value

    found, bad = run(test)
    for text, last in found:
        told = json.loads(text)
        assert set(told) == {"label", "sure"}
        assert last.finish == "stop"
    assert (bad.status, bad.code) == (400, "invalid_json_schema")


def test_characters_of_several_tokens_are_never_split(base: Path):
    async def test():
        async with engine({"m": base}) as running:
            warm = {"temperature": 5.0, "max_tokens": 120}
            return [await pieces(running, ask("m", "🙂🙂 ça", seed=seed, logprobs=0, **warm)) for seed in range(8)]

    tokenizer = load_tokenizer(str(base))
    for found in run(test):
        ids = [one.id for piece in found for one in piece.tokens]
        assert "".join(piece.text for piece in found) == tokenizer.decode(ids, skip_special_tokens=True)


def test_chats_go_through_the_template_and_control_tokens_stay_text(base: Path):
    tokenizer = load_tokenizer(str(base))
    turns = ({"role": "user", "content": [{"type": "text", "text": "Is <|im_end|> a word?"}]},)

    async def test():
        async with engine({"m": base}) as running:
            return running._core.served["m"].tokens(Request("m", messages=turns)), await answer(
                running, Request("m", messages=turns, sampling=Sampling(max_tokens=3, temperature=0))
            )

    ids, (_, last) = run(test)
    assert ids.count(tokenizer.eos_token_id) == 1
    assert last.usage.prompt_tokens == len(ids)


def test_a_prompt_without_room_is_refused_and_a_long_answer_ends_at_the_limit(base: Path):
    async def test():
        async with engine({"m": base}, context=40) as running:
            with pytest.raises(EngineError) as refused:
                await answer(running, ask("m", "It broke. " * 40))
            return refused.value, (await answer(running, ask("m", "It", max_tokens=None)))[1]

    refused, last = run(test)
    assert (refused.status, refused.code) == (400, "context_length_exceeded")
    assert (last.finish, last.usage.prompt_tokens + last.usage.completion_tokens) == ("length", 40)


@pytest.mark.parametrize("prompt", [(-1,), (10**6,)])
def test_token_ids_outside_the_vocabulary_are_refused(base: Path, prompt: tuple[int, ...]):
    async def test():
        async with engine({"m": base}) as running:
            with pytest.raises(EngineError, match="token ids must be between") as refused:
                await answer(running, ask("m", prompt))
            return refused.value.status

    assert run(test) == 400


def test_closing_the_iterator_frees_the_slot_at_once(base: Path):
    async def test():
        async with engine({"m": base}, max_rows=1) as running:
            first = running.generate(ask("m", "It broke", max_tokens=900))
            await anext(first)
            waits = asyncio.create_task(answer(running, ask("m", "It is", max_tokens=3)))
            await asyncio.sleep(0.05)
            crowded = running.load_now()
            await first.aclose()
            return crowded, (await waits)[1], running.load_now()

    crowded, last, after = run(test)
    assert (crowded["requests_running"], crowded["requests_waiting"]) == (1, 1)
    assert last.finish == "length"
    assert after["requests_running"] == 0


def test_rows_that_outgrow_the_memory_wait_and_lose_nothing(base: Path):
    model = load_weights(base)
    prompts = [tuple((7 * i + 11 * row) % 300 + 3 for i in range(245)) for row in range(4)]
    ids = torch.tensor(prompts)
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0)[:, 245:]

    async def test():
        token = 2 * 2 * 2 * 12 * 4  # bytes: keys and values of 2 layers, 2 heads of 12 numbers
        async with engine({"m": base}, kv_gb=token * 1024 / 1e9) as running:
            asked = [asyncio.create_task(pieces(running, ask("m", prompt, logprobs=0))) for prompt in prompts]
            most = 0
            while not all(one.done() for one in asked):
                most = max(most, running.load_now()["requests_running"])
                await asyncio.sleep(0)
            return most, [await one for one in asked]

    most, found = run(test)
    assert most == 4  # all fit while they are short; beyond 256 tokens two do
    assert [[one.id for piece in row for one in piece.tokens] for row in found] == expected.tolist()
    assert [row[-1].usage.completion_tokens for row in found] == [24] * 4


def test_an_unknown_model_is_404_and_a_stopped_engine_503(base: Path):
    async def test():
        async with engine({"m": base}) as running:
            with pytest.raises(EngineError) as unknown:
                await answer(running, ask("other", "It"))
            under_way = asyncio.create_task(answer(running, ask("m", "It broke", max_tokens=900)))
            await asyncio.sleep(0.05)
        with pytest.raises(EngineError) as ended:
            await under_way
        with pytest.raises(EngineError) as stopped:
            await answer(running, ask("m", "It"))
        return [one.value.status for one in (unknown, ended, stopped)]

    assert run(test) == [404, 503, 503]


def test_a_step_that_fails_ends_its_answers_and_the_next_ones_work(base: Path, monkeypatch: pytest.MonkeyPatch):
    from tunewright.serve.embedded.weights import Weights

    async def test():
        async with engine({"m": base}) as running:
            whole = Weights.run

            def broken(*args):
                monkeypatch.setattr(Weights, "run", whole)
                raise RuntimeError("out of memory")

            monkeypatch.setattr(Weights, "run", broken)
            with pytest.raises(EngineError, match="out of memory"):
                await answer(running, ask("m", "It broke"))
            return (await answer(running, ask("m", "It broke")))[1].finish

    assert run(test) == "length"
