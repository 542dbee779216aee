"""The packed tree must give the values and gradients of plain padded sequences, for every family and adapter."""

from __future__ import annotations

import peft
import pytest
import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.models import tree as trees
from tunewright.models.anatomy import FAMILIES, anatomy, soft_prompt
from tunewright.models.bottleneck import add_bottleneck
from tunewright.models.load import load_weights
from tunewright.testing.tiny import tiny_model

ANSWERS = [[[5, 6, 2], [5, 7, 2], [8, 2], [9, 9, 9, 2]], [[5, 2]], [[7, 2], [7, 8, 2]]]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def tokens(n: int, seed: int) -> list[int]:
    return torch.randint(3, 380, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def some_tree() -> trees.Tree:
    sizes = (5, 9, 1, 40, 4, 5, 3)
    return trees.pack(tokens(7, 0), [tokens(n, n) for n in sizes], [ANSWERS[i % 3] for i in range(len(sizes))])


def wiggled(model):
    """Adapters start as zero maps; random values let them act."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data + 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def adapted(kind: str, directory):
    model = load_weights(directory)
    if kind == "lora":
        config = peft.LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")
        return wiggled(peft.get_peft_model(model, config))
    if kind == "prompt_tuning":
        return wiggled(peft.get_peft_model(model, peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")))
    if kind == "bottleneck":
        return wiggled(add_bottleneck(model, 4))
    return model


def gradients(model, log_probs: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    (-log_probs.mean()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_values_equal_the_padded_batch_in_every_family(family, home):
    model, tree = load_weights(tiny_model(home / family, family)), some_tree()
    with torch.no_grad():
        torch.testing.assert_close(trees.answer_log_probs(model, tree), trees.padded(model, tree), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "qwen2"])
@pytest.mark.parametrize("kind", ["full", "lora", "prompt_tuning", "bottleneck"])
def test_gradients_equal_the_padded_batch(kind, family, home):
    model, tree = adapted(kind, tiny_model(home / family, family)), some_tree()
    packed = trees.answer_log_probs(model, tree)
    plain = trees.padded(model, tree)
    torch.testing.assert_close(packed, plain, rtol=1e-4, atol=2e-5)
    ours, theirs = gradients(model, packed), gradients(model, plain)
    assert ours.keys() == theirs.keys()
    assert ours
    for name in ours:
        scale = theirs[name].abs().max() + 1e-6
        assert float((ours[name] - theirs[name]).abs().max() / scale) < 1e-4, name


@pytest.mark.parametrize("kind", ["full", "lora", "prompt_tuning"])
def test_prefix_computed_once_gives_the_same(kind, home):
    model, tree = adapted(kind, tiny_model(home / "llama")), some_tree()
    with torch.no_grad():
        states = trees.prefix_states(model, tree.prefix)
        once = trees.answer_log_probs(model, tree, prefix=states)
        torch.testing.assert_close(once, trees.answer_log_probs(model, tree), rtol=1e-4, atol=2e-5)
    assert states is not None
    assert states.length == 7 + (3 if kind == "prompt_tuning" else 0)


def test_a_chunked_head_gives_the_same(home, monkeypatch):
    model, tree = load_weights(tiny_model(home / "llama")), some_tree()
    with torch.no_grad():
        whole = trees.answer_log_probs(model, tree)
        monkeypatch.setattr(trees, "HEAD_CHUNK", 3)
        torch.testing.assert_close(trees.answer_log_probs(model, tree), whole)


@pytest.mark.parametrize("family", ["gemma2", "gpt2"])
def test_families_that_cannot_be_walked_take_the_padded_path(home, family):
    model, tree = load_weights(tiny_model(home / family, family)), some_tree()
    with torch.no_grad():
        log_probs = trees.answer_log_probs(model, tree, prefix=trees.prefix_states(model, tree.prefix))
        torch.testing.assert_close(log_probs, trees.padded(model, tree))


def test_a_family_that_cannot_be_taken_apart_is_named(home):
    with pytest.raises(EnvironmentProblem, match="family gpt2 cannot be taken apart"):
        anatomy(load_weights(tiny_model(home / "gpt2", "gpt2")))


def test_prefix_tuning_takes_the_padded_path(home):
    config = peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    model, tree = wiggled(peft.get_peft_model(load_weights(tiny_model(home / "llama")), config)), some_tree()
    assert soft_prompt(model) is None
    bare = trees.padded(load_weights(tiny_model(home / "llama")), tree)
    with torch.no_grad():
        torch.testing.assert_close(trees.answer_log_probs(model, tree), trees.padded(model, tree))
        assert not torch.allclose(trees.answer_log_probs(model, tree), bare)


def test_a_sliding_window_that_would_cut_a_row_takes_the_padded_path(home):
    model, tree = load_weights(tiny_model(home / "mistral", "mistral")), some_tree()
    model.config.sliding_window = 8
    with torch.no_grad():
        torch.testing.assert_close(trees.answer_log_probs(model, tree), trees.padded(model, tree))


def test_the_model_still_works_as_usual_after_a_tree(home):
    model, tree = load_weights(tiny_model(home / "llama")), some_tree()
    ids = torch.tensor([tokens(12, 3)])
    with torch.no_grad():
        before = model(ids).logits
        trees.answer_log_probs(model, tree)
        torch.testing.assert_close(model(ids).logits, before)
        assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] > 12
