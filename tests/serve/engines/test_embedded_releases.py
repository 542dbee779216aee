"""Several releases on one base: each answers as it does alone, in one step with the others, while more come and go."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import peft
import pytest
import torch

from tests.release.winner import TEXTS
from tests.serve.engines.house import answer, ask, engine, generated, pieces, release, run
from tunewright.core.errors import TunewrightError
from tunewright.core.files import read_json, write_json
from tunewright.models.load import load_tokenizer, load_weights
from tunewright.serve.engine import EngineError

torch.set_num_threads(1)
TECHNIQUES = ["lora", "prompt_tuning", "full", "bottleneck"]
PROMPTS = ["It broke", "The battery lasts all day and", "a", "🙂 ça"]


@pytest.fixture(scope="module")
def releases(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("releases")
    return {one: release(folder / one, base, one) for one in TECHNIQUES}


def plain(directory: Path, base: Path):
    """The release through transformers and peft alone."""
    if (directory / "adapter_config.json").exists():
        return peft.PeftModel.from_pretrained(load_weights(base), directory).eval()
    return load_weights(directory)


def test_releases_of_every_kind_answer_in_one_engine_as_they_do_alone(base: Path, releases: dict[str, Path]):
    tokenizer = load_tokenizer(str(base))
    models = {"base": base, **releases}
    expected = {(name, prompt): generated(plain(models[name], base), tokenizer, prompt) for name in models for prompt in PROMPTS}

    async def test():
        async with engine(models) as running:
            homes = len(running._core.homes)
            found = await asyncio.gather(*(answer(running, ask(name, prompt)) for prompt in PROMPTS for name in models))
            again = await asyncio.gather(*(answer(running, ask(name, prompt)) for prompt in PROMPTS for name in models))
            keys = [(name, prompt) for prompt in PROMPTS for name in models]
            return homes, dict(zip(keys, (text for text, _ in found), strict=True)), [text for text, _ in again], found

    homes, found, again, pairs = run(test)
    assert homes == 3  # the base with LoRA and the soft prompt, and two whole models
    assert found == expected
    assert again == list(found.values())
    assert len({found[name, "It broke"] for name in models}) == len(models)
    usage = {last.usage.prompt_tokens for (name, prompt), (_, last) in zip(found, pairs, strict=True) if prompt == "It broke"}
    assert len(usage) == 1  # virtual tokens are not counted


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_label_scores_are_those_of_the_release_however_calls_are_batched(technique: str, releases: dict[str, Path]):
    parity = read_json(releases[technique] / "parity.json")
    expected = np.array(parity["log_likelihood"])

    async def test():
        async with engine({"m": releases[technique]}, score_rows=3) as running:
            whole = await running.score("m", TEXTS)
            alone = await asyncio.gather(*(running.score("m", [text]) for text in TEXTS))
            await pieces(running, ask("m", "It broke"))
            after = await running.score("m", TEXTS)
            return whole, np.concatenate([one.log_likelihood for one in alone]), after.log_likelihood, await running.score("m", [])

    whole, alone, after, none = run(test)
    for found in (whole.log_likelihood, alone, after):
        assert np.abs(found - expected).max() < parity["tolerance"] / 20
    assert none.log_likelihood.shape == (0, 3)
    assert whole.truncated == (False,) * len(TEXTS)
    assert all(size > 10 for size in whole.prompt_tokens)


def test_scores_of_different_releases_at_once_do_not_mix_with_each_other_nor_with_answers(base: Path, releases: dict[str, Path]):
    expected = {one: np.array(read_json(releases[one] / "parity.json")["log_likelihood"]) for one in TECHNIQUES}
    text = generated(plain(releases["lora"], base), load_tokenizer(str(base)), "It broke", 60)

    async def test():
        async with engine(releases) as running:
            talk = asyncio.create_task(answer(running, ask("lora", "It broke", max_tokens=60)))
            scores = await asyncio.gather(*(running.score(one, TEXTS) for one in TECHNIQUES * 3))
            return scores, (await talk)[0]

    scores, said = run(test)
    assert said == text
    for one, found in zip(TECHNIQUES * 3, scores, strict=True):
        assert np.abs(found.log_likelihood - expected[one]).max() < 1e-4


def test_a_base_has_no_labels_and_a_long_text_is_cut_and_told(base: Path, releases: dict[str, Path]):
    async def test():
        async with engine({"base": base, "m": releases["lora"]}) as running:
            with pytest.raises(EngineError) as refused:
                await running.score("base", ["It broke"])
            return refused.value, await running.score("m", ["It broke. " * 100, "It broke."])

    refused, scores = run(test)
    assert (refused.status, refused.code) == (400, "no_labels")
    assert scores.truncated == (True, False)


def test_models_come_and_go_while_others_answer(base: Path, releases: dict[str, Path]):
    text = generated(load_weights(base), load_tokenizer(str(base)), "It broke", 300)

    async def test():
        async with engine({"base": base}) as running:
            talk = asyncio.create_task(answer(running, ask("base", "It broke", max_tokens=300)))
            for _ in range(2):
                for name, directory in releases.items():
                    await running.load(name, directory)
                    await answer(running, ask(name, "It is", max_tokens=2))
                for name in releases:
                    await running.unload(name)
            with pytest.raises(EngineError, match="not served"):
                await answer(running, ask("lora", "It is"))
            core = running._core
            return (await talk)[0], list(core.homes), core.homes[core.served["base"].weights.key].weights

    said, homes, weights = run(test)
    assert said == text
    assert len(homes) == 1
    assert (weights.soft, weights.adapters._hooks, weights.adapters._on) == ({}, {}, {})


def test_unload_waits_for_answers_under_way_and_a_reload_leaves_them_alone(base: Path, releases: dict[str, Path]):
    tokenizer = load_tokenizer(str(base))
    old = generated(plain(releases["lora"], base), tokenizer, "It broke", 200)
    new = generated(plain(releases["prompt_tuning"], base), tokenizer, "It broke")

    async def test():
        async with engine({"m": releases["lora"]}) as running:
            talk = asyncio.create_task(answer(running, ask("m", "It broke", max_tokens=200)))
            await asyncio.sleep(0.02)
            swap = asyncio.create_task(running.load("m", releases["prompt_tuning"]))
            while running._core.served["m"].adapter is not None:
                await asyncio.sleep(0)
            fresh = await answer(running, ask("m", "It broke"))
            said = await talk
            await swap
            talk = asyncio.create_task(answer(running, ask("m", "It broke", max_tokens=200)))
            await asyncio.sleep(0.02)
            gone = asyncio.create_task(running.unload("m"))
            await asyncio.sleep(0)
            with pytest.raises(EngineError, match="not served"):
                await answer(running, ask("m", "It"))
            assert not gone.done()
            last = await talk
            await gone
            return said[0], fresh[0], last[1].finish, running._core.homes

    said, fresh, finish, homes = run(test)
    assert (said, fresh, finish, homes) == (old, new, "length", {})


def test_an_adapter_of_another_kind_is_merged_into_a_copy_of_its_base(base: Path, releases: dict[str, Path], tmp_path: Path):
    torch.manual_seed(1)
    tuned = peft.get_peft_model(
        load_weights(base), peft.LoraConfig(r=4, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    )
    shutil.copytree(releases["lora"], tmp_path / "dora")
    tuned.save_pretrained(tmp_path / "dora", save_embedding_layers=False)
    tokenizer = load_tokenizer(str(base))
    expected = generated(plain(tmp_path / "dora", base), tokenizer, "It broke")

    async def test():
        async with engine({"m": tmp_path / "dora", "base": base}) as running:
            return (await answer(running, ask("m", "It broke")))[0], (await answer(running, ask("base", "It broke")))[0]

    assert run(test) == (expected, generated(load_weights(base), tokenizer, "It broke"))


def broken(kind: str, whole: Path, folder: Path) -> Path:
    shutil.copytree(whole, folder)
    manifest = read_json(folder / "manifest.json")
    if kind == "another base":
        manifest["base_model"]["fingerprint"] = "0" * 16
        write_json(folder / "manifest.json", manifest)
    elif kind == "a weight without a partner":
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "adapter_model.safetensors")
        weights.pop(sorted(weights)[0])
        save_file(weights, folder / "adapter_model.safetensors")
    else:
        (folder / "manifest.json").unlink()
    return folder


@pytest.mark.parametrize("kind", ["another base", "a weight without a partner", "no manifest"])
def test_a_release_that_cannot_be_served_is_refused_and_leaves_nothing(kind: str, releases: dict[str, Path], tmp_path: Path):
    directory = broken(kind, releases["lora"], tmp_path / "broken")

    async def test():
        async with engine({}) as running:
            with pytest.raises(TunewrightError) as refused:
                await running.load("m", directory)
            return str(refused.value), dict(running._core.homes), dict(running._core.served)

    message, homes, served = run(test)
    assert str(directory) in message
    assert (homes, served) == ({}, {})


def test_a_family_that_computes_something_else_is_refused(tmp_path: Path, base: Path):
    """Scaled logits are part of transformers' forward and of ours; a model whose attention differs is found out by the probe."""
    from tunewright.testing.tiny import tiny_model

    directory = tiny_model(tmp_path / "gemma2", "gemma2")
    config = json.loads((directory / "config.json").read_text()) | {"attn_logit_softcapping": 2.0}
    (directory / "config.json").write_text(json.dumps(config))

    async def test():
        async with engine({}) as running:
            with pytest.raises(TunewrightError) as refused:
                await running.load("m", directory)
            return str(refused.value)

    assert "upstream" in run(test)
