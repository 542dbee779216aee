"""Bottleneck adapters: silent at first, trained alone, stored and reloaded, merged exactly."""

from __future__ import annotations

import json

import pytest
import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.models.bottleneck import add_bottleneck, load_bottleneck, merged, save_bottleneck
from tunewright.models.load import load_weights
from tunewright.testing.tiny import tiny_model

IDS = torch.arange(3, 40)[None]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("tiny") / "llama")


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def acting(home, **options):
    model = add_bottleneck(load_weights(home), 4, **options)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def test_a_new_adapter_changes_nothing_and_only_it_learns(home):
    base, model = load_weights(home), add_bottleneck(load_weights(home), 4)
    assert torch.equal(logits(model), logits(base))
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning
    assert all(".down." in name or ".up." in name for name in learning)


@pytest.mark.parametrize("layers", [None, [1]])
def test_stored_and_reloaded_it_answers_the_same(home, layers, tmp_path):
    model = acting(home, layers=layers)
    save_bottleneck(model, tmp_path, "smollm2-135m")
    assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "BOTTLENECK"
    assert torch.equal(logits(load_bottleneck(load_weights(home), tmp_path)), logits(model))


@pytest.mark.parametrize("layers", [None, [1]])
def test_merging_gives_a_plain_model_with_the_same_answers(home, layers, tmp_path):
    model = acting(home, layers=layers)
    assert not torch.allclose(logits(model), logits(load_weights(home)), atol=0.05)
    plain = merged(model)
    torch.testing.assert_close(logits(plain), logits(model), rtol=1e-5, atol=2e-5)
    plain.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(load_weights(tmp_path)), logits(plain))


def test_merging_refuses_families_without_such_an_mlp(home, tmp_path):
    model = add_bottleneck(load_weights(tiny_model(tmp_path / "neox", "gpt_neox")), 4)
    with pytest.raises(EnvironmentProblem, match="merges only into Llama-like models"):
        merged(model)


def test_an_adapter_of_another_shape_is_refused(home, tmp_path):
    save_bottleneck(acting(home), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    for wrong in ({"r": 5}, {"layers": [0, 7]}):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(EnvironmentProblem, match="does not fit this base model"):
            load_bottleneck(load_weights(home), tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"layers": [0]}))
    with pytest.raises(EnvironmentProblem, match="a weight without a place"):
        load_bottleneck(load_weights(home), tmp_path)
