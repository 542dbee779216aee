"""Golden prompts asked of a real endpoint that serves a real (tiny) release."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.release.winner import context_of
from tunewright import release
from tunewright.core.errors import RunError
from tunewright.core.files import read_json
from tunewright.monitor.target import ask, endpoint
from tunewright.testing.tiny import tiny_model


@pytest.mark.slow
def test_an_endpoint_s_probabilities_become_the_likelihoods_of_plain_libraries(tmp_path: Path):
    context = context_of(tmp_path / "reviews", tiny_model(tmp_path / "base"))
    release.run(context)
    directory = context.run.path("release")
    parity = read_json(directory / "parity.json")
    command = [sys.executable, "-m", "tunewright.cli", "serve", str(context.run.directory), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            scores = endpoint(url, "reviews@0", directory, None)(parity["texts"])
            with pytest.raises(RunError, match="/v1/classify answered 404"):
                ask(url, "nosuchmodel", ["hello"], None)
        finally:
            process.terminate()
            process.wait(30)
    packed = np.array(parity["log_likelihood"])
    assert np.ptp(packed) > 0.1
    gaps = (scores - scores.mean(axis=1, keepdims=True)) - (packed - packed.mean(axis=1, keepdims=True))
    assert np.abs(gaps).max() < 1e-3
    with pytest.raises(RunError, match="cannot be asked"):
        ask(url, "reviews@0", ["hello"], None)
