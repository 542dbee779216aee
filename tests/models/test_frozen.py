"""Cached lower layers: the same values and gradients, shared between processes, bounded on disk."""

from __future__ import annotations

import peft
import pytest
import torch

from tunewright.models import tree
from tunewright.models.frozen import LowerStates
from tunewright.models.load import load_weights
from tunewright.testing.tiny import tiny_model

PREFIX = [9, 8, 7, 6]
BODIES = [[11, 12, 13], [21, 22], [31, 32, 33, 34, 35]]
PACKED = tree.pack(PREFIX, BODIES, [[[5, 6, 2]], [[5, 2], [7, 2]], [[8, 2]]])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("tiny") / "llama", layers=4)


def upper_lora(home):
    config = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj", "down_proj"], layers_to_transform=[2, 3], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(load_weights(home), config)


def gradients(model, log_probs):
    model.zero_grad()
    log_probs.sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_values_and_gradients_equal_the_whole_pass_at_first_and_from_the_cache(home, tmp_path):
    model = upper_lora(home)
    expected = tree.answer_log_probs(model, PACKED)
    slopes = gradients(model, expected)
    lower = LowerStates(tmp_path, "tiny", 2)
    for _ in range(2):
        found = tree.answer_log_probs(model, PACKED, lower=lower)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        for ours, theirs in zip(gradients(model, found), slopes, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        states = tree.prefix_states(model, PREFIX, lower)
        once = tree.answer_log_probs(model, PACKED, lower=lower, prefix=states)
    torch.testing.assert_close(once, expected, rtol=1e-5, atol=1e-5)


def test_another_process_finds_what_was_kept(home, tmp_path, monkeypatch):
    model = load_weights(home).requires_grad_(False)
    first = LowerStates(tmp_path, "tiny", 2)
    states = first.rows(model, PACKED)
    second = LowerStates(tmp_path, "tiny", 2)
    monkeypatch.setattr(second, "_compute", None)
    assert torch.equal(second.rows(model, PACKED), states)


def test_a_line_cut_short_by_a_crash_is_not_read(home, tmp_path):
    model = load_weights(home).requires_grad_(False)
    states = LowerStates(tmp_path, "tiny", 2).rows(model, PACKED)
    (index,) = (tmp_path / "tiny-2").glob("*.index")
    index.write_text(index.read_text()[:-3])
    torch.testing.assert_close(LowerStates(tmp_path, "tiny", 2).rows(model, PACKED), states)


def test_over_its_size_nothing_more_is_kept_and_the_result_is_the_same(home, tmp_path):
    model = load_weights(home).requires_grad_(False)
    small = LowerStates(tmp_path / "small", "tiny", 2, max_bytes=100)
    states = [small.rows(model, PACKED) for _ in range(2)]
    assert small.full
    assert not list((tmp_path / "small").rglob("*.f32"))
    large = LowerStates(tmp_path / "large", "tiny", 2)
    assert torch.equal(states[1], large.rows(model, PACKED))
    assert not large.full


def test_another_prefix_or_answer_is_another_entry(home, tmp_path):
    model = load_weights(home).requires_grad_(False)
    lower = LowerStates(tmp_path, "tiny", 2)
    lower.rows(model, PACKED)
    other = tree.pack([9, 8, 7], BODIES, [[[5, 6, 2]]] * 3)
    fresh = LowerStates(tmp_path / "fresh", "tiny", 2)
    assert torch.equal(lower.rows(model, other), fresh.rows(model, other))


def test_learning_weights_below_are_refused(home, tmp_path):
    with pytest.raises(ValueError, match="below layer 2 learn"):
        LowerStates(tmp_path, "tiny", 2).rows(load_weights(home).train(), PACKED)
