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
from tunewright.models.chat import ChatFormat
from tunewright.models.load import LoadedModel
from tunewright.models.score import score_labels

SCRIPT = Path(__file__).with_name("parity_script.py")
TOLERANCE = (
    2e-3  # nats of a label's log-likelihood: fp32 sums in another order differ by about 1e-5, a lost adapter by 1
)


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


def check(directory: Path, winner: LoadedModel, chat: ChatFormat, texts: list[str]) -> dict[str, Any]:
    """Compare label log-likelihoods of `texts` by `winner` with those of the release in `directory`. Raises `RunError`."""
    ours = score_labels(winner, chat, texts).log_likelihood
    answered = ask(directory, prompt(chat), texts)
    theirs = np.array(answered["log_likelihood"])
    gap = np.abs(ours - theirs)
    top = np.sort(ours, axis=1)
    close = top[:, -1] - top[:, -2] <= 2 * TOLERANCE if ours.shape[1] > 1 else np.ones(len(ours), bool)
    same = (ours.argmax(axis=1) == theirs.argmax(axis=1)) | close
    if gap.max() > TOLERANCE or not same.all() or not np.isfinite(theirs).all():
        row, label = np.unravel_index(np.nanargmax(np.where(np.isfinite(gap), gap, np.inf)), gap.shape)
        raise RunError(
            f"The release is stopped: plain transformers and peft answer differently. Label {chat.labels[label]!r} of probe row "
            f"{row} ({texts[row][:60]!r}): log-likelihood {theirs[row, label]:.5f}, but {ours[row, label]:.5f} here; at most "
            f"{TOLERANCE} is allowed. The weights or the chat template were not saved as they were used."
        )
    return {
        "rows": len(texts),
        "same_answers": int(same.sum()),
        "largest_difference": float(gap.max()),
        "tolerance": TOLERANCE,
        "versions": answered["versions"],
        "seconds": answered["seconds"],
        "log_likelihood": {"here": ours.round(6).tolist(), "plain_libraries": theirs.round(6).tolist()},
    }


def ask(directory: Path, form: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Run the script on the release in `directory`; its answers. Raises `RunError` when it fails."""
    job = {"release": str(directory), "prompt": form, "texts": texts}
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RunError(f"The release is stopped: plain transformers and peft cannot load it. {words[0]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
