from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.evaluate.small_run import LABELS, context_of, rows
from tunewright import tune
from tunewright.core.files import write_json, write_parquet
from tunewright.core.run import Run
from tunewright.core.seal import seal_test
from tunewright.testing.tiny import tiny_model


@pytest.fixture(autouse=True, scope="session")
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine is shared, and so is a user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TUNEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        import torch

        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with two candidates of a tiny random model, ready for `evaluate`. Copy it before use."""
    place = tmp_path_factory.mktemp("tuned")
    directory = place / "run"
    values = {
        "data": {"path": str(place / "rows.csv")},
        "model": {"base": str(tiny_model(place / "model", layers=4)), "max_length": 160},
        "tune": {
            "techniques": ["lora", "prompt_tuning"],
            "max_steps": 4,
            "minutes": None,
            "evaluations": 1,
            "validation_rows": 8,
            "per_device_train_batch_size": 4,
            "workers": 1,
        },
        "evaluate": {"baselines": ["majority", "tfidf_logistic", "base_few_shot"]},
    }
    for split, copies in (("train", 4), ("validation", 1)):
        write_parquet(directory / "prepare" / f"{split}.parquet", rows(split, copies))
    seal_test(Run(directory), rows("test", 4))
    write_json(directory / "prepare" / "summary.json", {"labels": LABELS})
    (directory / "recipe.yaml").write_text(yaml.safe_dump(values))
    tune.run(context_of(directory))
    return directory
