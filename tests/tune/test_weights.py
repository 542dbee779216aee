"""A row's weight is how often it counts: the gradient of a row of weight 2 is that of the row twice."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from tests.tune.small_run import rows, small_run
from tunewright.core.errors import DataError
from tunewright.core.files import read_jsonl, write_parquet
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.models.load import LoadedModel, load_base
from tunewright.testing.tiny import tiny_model
from tunewright.tune.candidate import Job, look_at_untuned, train
from tunewright.tune.rows import Rows, row_weights


def few(texts: list[str], labels: list[str], weights: list[float | None] | None = None) -> pl.DataFrame:
    rows = pl.DataFrame({"row_id": [f"r{one}" for one in range(len(texts))], "text": texts, "label": labels})
    return rows if weights is None else rows.with_columns(weight=pl.Series(weights, dtype=pl.Float64))


def step_gradients(base: LoadedModel, recipe: Recipe, frame: pl.DataFrame, place: Path) -> tuple[dict[str, torch.Tensor], float]:
    """Gradients and loss of one step over all rows of `frame`, as the loop computes them."""
    write_parquet(place, frame)
    given = Rows(recipe, ["bad", "good"], base, place)
    base.model.zero_grad()
    summed, count = build("objectives", "sft").loss(base.model, given.tree(range(len(frame))), None)
    torch.autograd.backward(summed)
    return {name: weight.grad / count for name, weight in base.model.named_parameters() if weight.grad is not None}, float(
        summed.detach()
    ) / count


def test_a_row_of_weight_two_has_the_gradient_of_two_rows(tmp_path: Path):
    recipe = Recipe.check({"data": {"path": "rows.csv"}, "model": {"base": str(tiny_model(tmp_path / "tiny"))}})
    base = load_base(recipe.model)
    texts, labels = ["I love it", "the worst of all that I have had", "fine"], ["good", "bad", "good"]
    weighted, loss = step_gradients(base, recipe, few(texts, labels, [1.0, 2.0, None]), tmp_path / "a.parquet")
    twice, loss_twice = step_gradients(base, recipe, few([*texts, texts[1]], [*labels, "bad"]), tmp_path / "b.parquet")
    plain, _ = step_gradients(base, recipe, few(texts, labels), tmp_path / "c.parquet")
    assert loss == pytest.approx(loss_twice, rel=1e-5)
    for name, gradient in weighted.items():
        assert torch.allclose(gradient, twice[name], rtol=1e-4, atol=1e-5 * float(gradient.abs().max())), name
    assert any(not torch.allclose(gradient, plain[name], rtol=1e-2, atol=1e-6) for name, gradient in weighted.items())


def test_equal_weights_change_nothing_whatever_their_size(tmp_path: Path):
    weights = row_weights(few(["a", "b"], ["good", "bad"], [7.0, 7.0]), [3, 5])
    assert weights is not None
    assert weights.tolist() == pytest.approx([1.0, 1.0])
    assert row_weights(few(["a"], ["good"]), [3]) is None
    assert row_weights(few(["a"], ["good"], [None]), [3]) is None


@pytest.mark.parametrize(
    ("weights", "message"), [([1.0, -1.0], "row r1: a weight must be"), ([float("nan"), 1.0], "row r0"), ([0.0, 0.0], "every")]
)
def test_weights_that_mean_nothing_are_refused(weights: list[float | None], message: str):
    with pytest.raises(DataError, match=message):
        row_weights(few(["a", "b"], ["good", "bad"], weights), [1, 1])


def losses(place: Path, weight: Any) -> list[float]:
    context = small_run(place, techniques=["lora"])
    write_parquet(context.run.path("prepare", "train.parquet"), rows("train", 4).with_columns(weight=weight))
    job = Job(context.run.directory, context.recipe, ["bad", "good"], "lora", "lora")
    look_at_untuned(job, Report(quiet=True))
    train(job, Report(quiet=True))
    return [one["loss"] for one in read_jsonl(context.run.path("tune", "lora", "history.jsonl")) if one["kind"] == "train"]


def test_weights_of_a_run_reach_the_training(tmp_path: Path):
    plain, even = losses(tmp_path / "a", pl.lit(None, pl.Float64)), losses(tmp_path / "b", pl.lit(3.0))
    skewed = losses(tmp_path / "c", pl.when(pl.col("label") == "good").then(1.9).otherwise(0.1))
    assert plain == pytest.approx(even)
    assert plain != pytest.approx(skewed, rel=1e-3)
