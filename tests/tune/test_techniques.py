"""The contract of a technique, run over every file of the folder, and what is special about some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tune.small_loop import Small
from tunewright.core.errors import RecipeError, RunError
from tunewright.core.plugins import build, names
from tunewright.models.load import attach
from tunewright.models.tree import answer_log_probs
from tunewright.tune.checks import check_gradients

TECHNIQUES = names("techniques")
FAST = {"learning_rate": 1e-2}


def trained(place: Path, name: str, **settings: Any) -> Small:
    small = Small(place, {"name": name, **FAST, **settings}, per_device_train_batch_size=24, max_steps=8)
    small.loop().run()
    return small


@pytest.mark.parametrize("name", TECHNIQUES)
def test_it_lowers_the_loss_and_reloads_exactly(place: Path, name: str) -> None:
    small = Small(place, {"name": name, **FAST}, per_device_train_batch_size=24, max_steps=8)
    before = small.mean_loss()
    small.loop().run()
    after = small.mean_loss()
    assert after < before - 0.1
    small.technique.save(small.model, small.folder)
    again = attach(small.base, small.folder)
    tree = small.tree(list(range(6)))
    with torch.no_grad():
        assert torch.equal(answer_log_probs(again.model, tree), answer_log_probs(small.model.eval(), tree))
    assert again.technique == name


@pytest.mark.parametrize("name", TECHNIQUES)
def test_exactly_the_weights_that_it_names_learn(place: Path, name: str) -> None:
    small = Small(place, {"name": name, **FAST})
    found = check_gradients(small.model, small.technique, lambda: small.loss([0, 1, 2])[0])
    learning = [weight for weight in small.model.parameters() if weight.requires_grad]
    assert found["weights"] == found["with_gradient"] == len(learning)
    assert found["not_zero"] >= 1
    assert all(weight.grad is None for weight in small.model.parameters())


@pytest.mark.parametrize("name", [name for name in TECHNIQUES if name != "full"])
def test_the_models_own_weights_stay_as_they_are(place: Path, name: str) -> None:
    small = trained(place, name)
    assert all(torch.equal(weight, small.before[name]) for name, weight in small.own.items())


@pytest.mark.parametrize("name", TECHNIQUES)
def test_layers_that_it_calls_frozen_keep_their_output(place: Path, name: str) -> None:
    small = trained(place, name)
    frozen = small.technique.frozen_layers(small.model)
    assert (frozen > 0) == (name in ("lora", "bottleneck"))
    learnt = [key for key, weight in small.model.named_parameters() if weight.requires_grad]
    assert not any(f"layers.{layer}." in key for layer in range(frozen) for key in learnt)


def test_prompt_tuning_learns_its_embeddings_alone_and_starts_from_text_when_asked(place: Path) -> None:
    technique = {"name": "prompt_tuning", "num_virtual_tokens": 5, "prompt_tuning_init_text": "Classify the text."}
    small = Small(place, technique)
    learning = {name: weight for name, weight in small.model.named_parameters() if weight.requires_grad}
    assert {name: tuple(weight.shape) for name, weight in learning.items()} == {"prompt_encoder.default.embedding.weight": (5, 48)}
    tokens = small.base.tokenizer("Classify the text.", add_special_tokens=False)["input_ids"]
    wanted = small.base.model.get_input_embeddings().weight[[tokens[i % len(tokens)] for i in range(5)]]
    assert torch.equal(*(tensor.detach() for tensor in (*learning.values(), wanted)))


def test_lora_learns_in_the_top_layers_and_modules_that_the_recipe_names(place: Path) -> None:
    small = Small(place, {"name": "lora", "trainable_layers": 0.25, "target_modules": ["q_proj"], "r": 3})
    learning = {name: tuple(weight.shape) for name, weight in small.model.named_parameters() if weight.requires_grad}
    assert {name.split("layers.")[1].split(".lora")[0] for name in learning} == {"3.self_attn.q_proj"}
    assert sorted(learning.values()) == [(3, 48), (48, 3)]


def test_an_unknown_module_is_named_with_the_one_that_was_meant(place: Path) -> None:
    with pytest.raises(RecipeError, match=r"no linear layer 'q_prj'. Did you mean 'q_proj'"):
        Small(place, {"name": "lora", "target_modules": ["q_prj"]})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "lora", "learning_rte": 1e-3}, r"unknown key. Did you mean 'learning_rate'"),
        ({"name": "lora", "learning_rate": 0.0}, r"learning_rate: .*greater than 0, but got 0.0"),
        ({"name": "bottleneck", "trainable_layers": 1.5}, r"less than or equal to 1"),
        ({"name": "prompt_tuning", "num_virtual_tokens": 0}, r"greater than or equal to 1"),
        ({"name": "lora", "alias": "../up"}, r"alias"),
        ({"name": "loar"}, r"Did you mean 'lora'"),
    ],
)
def test_bad_settings_name_the_rule_and_the_value(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build("techniques", spec)


def test_a_technique_whose_gradients_go_elsewhere_is_refused(place: Path) -> None:
    small = Small(place, "lora")
    small.model.base_model.model.model.norm.weight.requires_grad_(True)
    with pytest.raises(RunError, match=r"1 differ, such as .*norm.weight"):
        check_gradients(small.model, small.technique, lambda: small.loss([0, 1])[0])


def test_a_loss_without_gradient_is_refused(place: Path) -> None:
    small = Small(place, "lora")
    with pytest.raises(RunError, match="no gradient reaches"):
        check_gradients(small.model, small.technique, lambda: small.loss([0, 1])[0] * 0)
