"""Label scores and the token contract."""

from __future__ import annotations

import copy

import numpy as np
import peft
import pytest
import torch

from tunewright.core.recipe import ModelSettings
from tunewright.models import score
from tunewright.models.chat import ChatFormat
from tunewright.models.contract import check, make_contract
from tunewright.models.frozen import LowerStates
from tunewright.models.load import load_base
from tunewright.models.score import LabelScores, score_labels
from tunewright.testing.tiny import tiny_model, tiny_tokenizer

LABELS = ["negative", "neutral", "no", "spam spam"]
TEXTS = ["I love it.", "", "It broke after two weeks, and nobody answers the phone.", "ok", "The battery lasts all day. " * 8]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_CACHE", str(home / "cache"))
        return load_base(ModelSettings(base=str(tiny_model(home / "llama"))))


@pytest.fixture
def fmt(loaded):
    return ChatFormat(loaded.tokenizer, None, None, 200, labels=LABELS)


def one_by_one(model, fmt):
    """Label and answer log-likelihoods from one plain forward pass for each text and label."""
    label, whole = np.zeros((2, len(TEXTS), len(LABELS)))
    encoded = fmt.encode(TEXTS)
    for i, body in enumerate(encoded.bodies):
        for j, name in enumerate(LABELS):
            answer = fmt.answer(name)
            ids = torch.tensor([encoded.prefix + body + answer])
            with torch.no_grad():
                logits = model(ids, attention_mask=torch.ones_like(ids)).logits[0, -len(answer) - 1 : -1]
            found = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0].double()
            label[i, j], whole[i, j] = found[:-1].sum(), found.sum()
    return label, whole


@pytest.mark.parametrize("batch_tokens", [20, 1536])
def test_scores_equal_plain_forward_passes(loaded, fmt, batch_tokens, monkeypatch):
    monkeypatch.setattr(score, "BATCH_TOKENS", batch_tokens)
    label, whole = one_by_one(loaded.model, fmt)
    scores = score_labels(loaded, fmt, TEXTS)
    np.testing.assert_allclose(scores.log_likelihood, label, atol=1e-4)
    np.testing.assert_allclose(scores.answer_nll, -whole, atol=1e-4)
    assert scores.answer_tokens.tolist() == [[len(fmt.answer(name)) for name in LABELS]] * len(TEXTS)


def test_soft_prompts_and_cached_lower_layers_score_the_same_as_plain_passes(loaded, fmt, tmp_path):
    bare = load_base(ModelSettings(base=str(loaded.directory))).model.requires_grad_(False)
    lower = LowerStates(tmp_path, "tiny", 1)
    np.testing.assert_allclose(score_labels(bare, fmt, TEXTS, lower=lower).log_likelihood, one_by_one(bare, fmt)[0], atol=1e-4)
    soft = peft.get_peft_model(bare, peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")).eval()
    found = score_labels(soft, fmt, TEXTS).log_likelihood
    np.testing.assert_allclose(found, one_by_one(soft, fmt)[0], atol=1e-4)
    assert not np.allclose(found, score_labels(bare, fmt, TEXTS).log_likelihood, atol=1e-2)


def test_examples_in_the_prefix_change_the_scores(loaded, fmt):
    shown = ChatFormat(loaded.tokenizer, None, None, 400, labels=LABELS, examples=[("It broke.", "negative")])
    np.testing.assert_allclose(score_labels(loaded, shown, TEXTS).log_likelihood, one_by_one(loaded.model, shown)[0], atol=1e-4)
    assert not np.allclose(score_labels(loaded, shown, TEXTS).log_likelihood, score_labels(loaded, fmt, TEXTS).log_likelihood, atol=1e-2)


def test_progress_counts_every_row_and_training_mode_is_given_back(loaded, fmt):
    steps = []
    task = type("Task", (), {"advance": lambda self, n=1, info="", total=None: steps.append(n)})()
    loaded.model.train()
    score_labels(loaded, fmt, TEXTS, task=task)
    assert sum(steps) == len(TEXTS)
    assert loaded.model.training
    loaded.model.eval()


def test_no_texts_give_empty_scores(loaded, fmt):
    assert score_labels(loaded, fmt, []).log_likelihood.shape == (0, len(LABELS))


def test_a_prior_is_taken_off_before_the_choice():
    scores = LabelScores(["a", "b"], np.array([[-1.0, -2.0], [-1.0, -3.0]]), np.ones((2, 2)), np.ones((2, 2), int))
    assert scores.predict().tolist() == [0, 0]
    assert scores.predict(np.array([-1.0, -2.5])).tolist() == [1, 0]
    np.testing.assert_allclose(scores.probabilities()[0], [1 / (1 + np.exp(-1)), 1 / (1 + np.e)])


def test_a_contract_holds_for_the_same_tokenizer_and_shows_what_is_learnt(fmt):
    contract = make_contract(fmt, TEXTS[:3], LABELS[:3])
    assert check(contract, tiny_tokenizer()) is None
    row = contract["rows"][0]
    learnt = [token for token, on in zip(row["ids"], row["mask"], strict=True) if on]
    assert fmt.tokenizer.decode(learnt) == row["answer"] == "negative<|im_end|>"
    assert contract["end_token"]["text"] == "<|im_end|>"


def test_a_broken_contract_names_the_first_difference(fmt):
    contract = make_contract(fmt, TEXTS[:3], LABELS[:3])
    other = tiny_tokenizer()
    other.chat_template = other.chat_template.replace("assistant\n", "assistant\n\n")
    assert "probe row 0, position" in str(check(contract, other))
    other = tiny_tokenizer()
    other.chat_template = other.chat_template.replace("<|im_end|>\n", "<|endoftext|>\n")
    assert str(check(contract, other)).startswith("the end token is")
    shorter = copy.deepcopy(contract)
    shorter["rows"][1]["mask"][-1] = 0
    place = len(shorter["rows"][1]["ids"]) - 1
    assert check(shorter, tiny_tokenizer()) == f"probe row 1, position {place}: loss mask is 1 but was 0 in training"
    shorter["rows"][1]["ids"].append(5)
    assert "token is missing but was" in str(check(shorter, tiny_tokenizer()))


@pytest.mark.slow
def test_the_bundled_model_scores_as_plain_passes_do():
    loaded = load_base(ModelSettings())
    fmt = ChatFormat(loaded.tokenizer, None, None, 512, labels=LABELS)
    assert len(fmt.prefix) > 30
    np.testing.assert_allclose(score_labels(loaded, fmt, TEXTS).log_likelihood, one_by_one(loaded.model, fmt)[0], atol=2e-3)
