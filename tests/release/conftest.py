"""Releases of tiny real models, packed by the real stage. Only the fresh process is left out: `test_release.py` proves that one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.release.winner import context_of
from tunewright.core.run import Context
from tunewright.release import parity, parity_script, run
from tunewright.testing.tiny import tiny_model


def answer_here(directory: Path, form: dict, texts: list[str]) -> dict:
    """What the script answers, in this process: its six seconds of imports prove something once, not ten times."""
    model, tokenizer = parity_script.load(str(directory))
    found = [parity_script.answer(model, tokenizer, form, text) for text in texts]
    longest = 1 + max(map(len, form["answers"].values()))
    said = [parity_script.greedy(model, tokenizer, form, text, longest) for text in texts]
    return {"log_likelihood": found, "greedy": said, "versions": {}, "seconds": 0.0}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "ask", answer_here)


@pytest.fixture(scope="session")
def release_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Context]:
    """The run with a release of `technique` on a tiny model of `family`, made once; copy it before changing anything."""
    made: dict[tuple[str, str], Context] = {}

    def make(technique: str = "lora", family: str = "llama") -> Context:
        if (technique, family) not in made:
            base = tiny_model(tmp_path_factory.mktemp(family) / "base", family)
            context = context_of(tmp_path_factory.mktemp("runs") / technique, base, technique)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(parity, "ask", answer_here)
                run(context)
            made[technique, family] = context
        return made[technique, family]

    return make
