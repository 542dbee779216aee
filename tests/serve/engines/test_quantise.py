"""int8 weights: close to the layer that they stand for, the same whoever shares the step, and taken only where a release's rows agree."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from tests.release.winner import TEXTS
from tests.serve.engines.house import answer, ask, engine, release, run
from tunewright.core.errors import TunewrightError
from tunewright.core.files import read_json, write_parquet
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.serve.embedded import quantise
from tunewright.serve.embedded.quantise import Fit, Int8Linear, golden


class Said(Report):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, text: str = "") -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = release(tmp_path_factory.mktemp("quantised") / "lora", base, "lora")
    write_parquet(directory / "reference.parquet", pl.DataFrame({"text": ["It works.", TEXTS[0]]}))
    return directory


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_says_nearly_the_same_for_each_row_and_exactly_the_same_beside_others(bias: bool):
    torch.manual_seed(0)
    layer = nn.Linear(48, 96, bias=bias).requires_grad_(False)
    small, hidden = Int8Linear(layer), torch.randn(1, 40, 48) * torch.logspace(-2, 3, 40)[None, :, None]
    whole, found = layer(hidden), small(hidden)
    error = (found - whole).abs().amax(-1) / whole.abs().amax(-1)
    assert error.max() < 0.03
    assert torch.equal(torch.cat([small(hidden[:, i : i + 1]) for i in range(40)], 1), found)
    assert small(torch.zeros(1, 2, 48)).isfinite().all()


def test_golden_rows_are_those_of_the_reference_and_of_parity_once_each(lora: Path, base: Path):
    assert golden(lora) == ["It works.", TEXTS[0], *TEXTS[1:]]
    assert golden(base) == []


@pytest.mark.parametrize(
    ("labels", "tokens", "speed", "holds"), [(0.99, 0.98, 1.5, True), (0.97, 1, 2, False), (1, 0.97, 2, False), (1, 1, 1.05, False)]
)
def test_a_plan_holds_when_labels_and_tokens_agree_and_it_is_faster(labels: float, tokens: float, speed: float, holds: bool):
    assert Fit((), 96, labels, tokens, speed).holds(0.98) == holds


def loaded(lora: Path, monkeypatch: pytest.MonkeyPatch, seconds: dict[bool, float], **settings: Any) -> tuple[Said, bool, Any]:
    """Load the release with `quantise: auto`; a step takes as long as `seconds` says of float32 (False) and int8 (True)."""

    def timed(weights: Any) -> float:
        return seconds[any(isinstance(one, Int8Linear) for one in weights.model.modules())]

    monkeypatch.setattr(quantise, "_step_seconds", timed)
    monkeypatch.setattr(quantise, "LEAST_ROWS", 6)
    report = Said()

    async def test():
        one = build("engines", {"name": "embedded", "threads": 1, "quantise": "auto", **settings})
        await one.start(report)
        try:
            await one.load("m", lora)
            await one.load("again", lora)
            (home,) = one._core.homes.values()
            small = any(isinstance(layer, Int8Linear) for layer in home.weights.model.modules())
            return report, small, await one.score("m", TEXTS)
        finally:
            await one.stop()

    return run(test)


def test_auto_wants_enough_rows(lora: Path):
    report = Said()

    async def test():
        one = build("engines", {"name": "embedded", "threads": 1, "quantise": "auto"})
        await one.start(report)
        try:
            await one.load("m", lora)
            return list(one._core.homes) == [one._core.served["m"].weights.key]
        finally:
            await one.stop()

    assert run(test)
    assert report.lines == ["m: float32, for int8 is measured on at least 60 rows of a release, and here are 6"]


def test_auto_takes_int8_where_answers_stay_and_it_is_faster(lora: Path, monkeypatch: pytest.MonkeyPatch):
    report, small, scores = loaded(lora, monkeypatch, {False: 1.0, True: 0.5}, agreement=0.1)
    expected = np.array(read_json(lora / "parity.json")["log_likelihood"])
    assert small
    assert "m: int8 in all linear layers" in report.lines[0]
    assert report.lines[0].endswith("a step 2.0 times as fast: taken")
    assert 0 < np.abs(scores.log_likelihood - expected).max() < 3


@pytest.mark.parametrize(
    ("seconds", "settings"), [({False: 1.0, True: 1.0}, {"agreement": 0.1}), ({False: 1.0, True: 0.1}, {"agreement": 1.0})]
)
def test_auto_stays_float32_otherwise_and_says_so(lora: Path, monkeypatch: pytest.MonkeyPatch, seconds: dict[bool, float], settings: Any):
    if settings["agreement"] == 1.0:
        monkeypatch.setattr(quantise, "compare", lambda *_: Fit((), 7, 0.9, 1.0, 10.0))
        monkeypatch.setattr("tunewright.serve.embedded.precision.compare", lambda *_: Fit((), 7, 0.9, 1.0, 10.0))
    report, small, scores = loaded(lora, monkeypatch, seconds, **settings)
    assert not small
    assert report.lines[2] == "m: stays float32"
    assert all("not taken" in line for line in report.lines[:2])
    assert np.abs(scores.log_likelihood - np.array(read_json(lora / "parity.json")["log_likelihood"])).max() < 1e-4


def test_int8_answers_do_not_depend_on_who_shares_the_step_and_a_base_has_nothing_to_measure_on(base: Path, lora: Path):
    async def test():
        async with engine({"m": lora, "base": base}, quantise="int8", prefix_gb=0) as running:
            alone = await answer(running, ask("m", "It broke"))
            crowd = await asyncio.gather(*(answer(running, ask(name, "It broke")) for name in ("m", "base", "m", "base")))
            return alone[0], [text for text, _ in crowd], len(running._core.homes)

    alone, crowd, homes = run(test)
    assert crowd[0] == crowd[2] == alone
    assert crowd[1] != alone
    assert homes == 1


def test_int8_with_another_kind_of_number_is_refused(base: Path):
    async def test():
        with pytest.raises(TunewrightError, match=r"serve\.engine\.quantise"):
            async with engine({"m": base}, quantise="int8", dtype="bfloat16"):
                pass

    run(test)
