"""Do plain libraries give the same answers? A fresh process that knows nothing of Tunewright loads the release and answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import RunError
from tunewright.core.files import read_json
from tunewright.core.score import Floats
from tunewright.models.chat import ChatFormat
from tunewright.models.load import LoadedModel
from tunewright.models.score import score_labels

SCRIPT = Path(__file__).with_name("parity_script.py")
TOLERANCE = 2e-3  # nats of a label's log-likelihood: fp32 sums in another order differ by about 1e-5, a lost adapter by 1


def prompt(chat: ChatFormat) -> dict[str, Any]:
    """All that a server needs besides the files: turns, answers as tokens, and the end of a turn."""
    return {
        "system": chat.system,
        "user": f"{chat.instruction}\n\n{{text}}",
        "rendered": chat.render("{text}"),
        "max_length": chat.max_length,
        "answers": {label: chat.answer(label)[:-1] for label in chat.labels},
        "end_token_id": chat.end,
    }


def check(directory: Path, winner: LoadedModel, chat: ChatFormat, texts: list[str], base: LoadedModel) -> dict[str, Any]:
    """Compare label log-likelihoods of `texts` by `winner` with those of the release in `directory`. Raises `RunError`.

    What the untuned `base` says of them is kept beside: whatever is served must be nearer to the release than to it.
    """
    ours, untuned = score_labels(winner, chat, texts).log_likelihood, score_labels(base, chat, texts).log_likelihood
    found = _compare(ours, ask(directory, prompt(chat), texts), texts)
    return found | {"base_log_likelihood": untuned.tolist(), "largest_difference_from_base": float(np.abs(ours - untuned).max())}


def again(directory: Path) -> dict[str, Any]:
    """Compare the answers of a packed release with those that it gave when it was packed."""
    before, manifest = read_json(directory / "parity.json"), read_json(directory / "manifest.json")
    answered = ask(directory, manifest["prompt"], before["texts"])
    return _compare(np.array(before["log_likelihood"]), answered, before["texts"])


def _compare(ours: Floats, answered: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    theirs = np.array(answered["log_likelihood"])
    gap = np.nan_to_num(np.abs(ours - theirs), nan=np.inf)
    if gap.max() > TOLERANCE:
        row, label = np.unravel_index(gap.argmax(), gap.shape)
        raise RunError(
            f"The release is stopped: plain transformers and peft answer differently. Label {label} of probe row {row}"
            f" ({texts[row][:60]!r}): log-likelihood {theirs[row, label]:.5f}, but {ours[row, label]:.5f} here; at most"
            f" {TOLERANCE} is allowed. The weights or the chat template were not saved as they were used."
        )
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    return {
        "rows": len(texts),
        "same_answers": int(same.sum()),
        "largest_difference": float(gap.max()),
        "tolerance": TOLERANCE,
        "greedy": answered["greedy"],
        "versions": answered["versions"],
        "seconds": answered["seconds"],
        "texts": texts,
        "log_likelihood": ours.tolist(),
    }


def ask(directory: Path, form: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Run the script on the release in `directory`; its answers. Raises `RunError` when it fails."""
    job = {"release": str(directory), "prompt": form, "texts": texts}
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], input=json.dumps(job), capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RunError(f"The release is stopped: plain transformers and peft cannot load it. {words[0]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
