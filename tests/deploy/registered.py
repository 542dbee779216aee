"""A registry with two versions of a tiny real model, both fit to serve: the first is the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.release.winner import context_of
from tunewright.registry import Registry
from tunewright.release import parity, parity_script, run
from tunewright.testing.tiny import tiny_model

WHO = {"reason": "a test", "by": "ana"}


def _ask(directory: Path, form: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """What the fresh process of the parity gate says, without its six seconds of imports."""
    model, tokenizer = parity_script.load(str(directory))
    found = [parity_script.answer(model, tokenizer, form, text) for text in texts]
    longest = 1 + max(map(len, form["answers"].values()))
    said = [parity_script.greedy(model, tokenizer, form, text, longest) for text in texts]
    return {"log_likelihood": found, "greedy": said, "versions": {}, "seconds": 0.0}


def make_registry(folder: Path) -> Registry:
    """`folder/registry/reviews`: version 1 learnt as LoRA, version 2 in full."""
    base = tiny_model(folder / "base")
    registry = Registry(folder / "registry" / "reviews")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "ask", _ask)
        for technique in ("lora", "full"):
            context = context_of(folder / technique, base, technique)
            run(context)
            registry.register(folder / technique / "release", run=folder / technique, **WHO)
    registry.promote(1, **WHO)
    return registry
