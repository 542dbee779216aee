"""The long jobs, short: the fuzzing of `benchmarks/fuzz_server.py` and the soak of `benchmarks/soak.py`."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.serve.house import ROOT

pytestmark = pytest.mark.slow


def test_generated_requests_meet_no_fault_of_the_server(tmp_path: Path):
    fuzz = runpy.run_path(str(ROOT / "benchmarks/fuzz_server.py"))["fuzz"]
    result = fuzz(tmp_path, 300, "words", 5)
    assert result["broken_description"] == []
    assert result["server_faults"] == {}
    assert result["fine"]
    assert result["requests"] >= 300
    assert set(result["by_status"]) >= {"200", "202", "400", "404", "405", "415"}
    assert result["tracebacks_in_the_log"] == 0


def test_a_soak_keeps_memory_and_every_request(tmp_path: Path):
    soak = runpy.run_path(str(ROOT / "benchmarks/soak.py"))["soak"]
    told: list[dict[str, object]] = []
    result = soak(tmp_path, 18, 4, 0.02, "words", told.append, every=6.0)
    assert result["unexpected"] == []
    assert result["stored"] == result["expected_stored"]
    assert result["exit_code"] == 0
    assert result["flips_of_the_registry"] >= 5
    assert {"reviews@1", "reviews@2"} <= set(result["versions"])
    assert result["statuses"][200] > 300
    assert result["memory_mb"] - result["memory_mb_at_half"] < 15
    assert len(told) >= 2
