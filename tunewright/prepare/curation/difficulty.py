"""Instruction-following difficulty (IFD; Li et al. 2024, arXiv 2308.12032): how little the prompt helps the base model.

    IFD = mean loss of the answer's tokens after the prompt / mean loss after the same prompt without the row's text

Near 0: the model knew it from the prompt, little is left to learn. Just below 1: the text helps, but not much yet; that is where
learning is. Above 1: the text makes the right answer less likely, which often means that they do not belong together. For classifiers
the answer is the label. What was measured is kept under `cache/difficulty` of the run directory.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash

from tunewright.core.errors import DataError
from tunewright.core.files import fingerprint, read_parquet, write_parquet
from tunewright.core.parts import Look
from tunewright.core.score import Floats

LONGEST = 256  # tokens of an answer that are looked at
SAVE_EVERY = 60.0  # seconds
SCHEMA = {"key": pl.String, "loss": pl.Float64}


def ifd(rows: pl.DataFrame, look: Look) -> Floats:
    """(n,) ratios of `rows`. Raises `DataError` for rows without label or answer."""
    answer = next((name for name in ("label", "answer") if name in rows.columns), None)
    if answer is None:
        raise DataError("curate: difficulty needs rows with a label or an answer. Take it out of curate.by, or set data.layout.")
    texts, answers = rows["text"].fill_null("").to_list(), rows[answer].cast(pl.String).fill_null("").to_list()
    meter = _Meter(look, sorted(set(answers)) if answer == "label" else [""])
    losses = meter.losses([*texts, *[""] * len(answers)], [*answers, *answers])
    given, alone = np.split(losses, 2)
    return np.divide(given, alone, out=np.ones_like(given), where=alone > 0)


class _Meter:
    """Losses of answers after prompts under the base model, remembered between runs."""

    def __init__(self, look: Look, labels: list[str]) -> None:
        from tunewright.models.chat import ChatFormat
        from tunewright.models.load import load_base

        self.look, model = look, look.recipe.model
        self.base = load_base(model, look.report)
        self.base.model.requires_grad_(False)
        instruction = look.recipe.data.instruction
        if instruction is None and labels == [""]:
            instruction = ""
        self.format = ChatFormat(self.base.tokenizer, instruction, model.system, model.max_length, labels=labels)
        mark = fingerprint([self.base.fingerprint, self.format.settings(), LONGEST])
        self.path: Path | None = look.directory / "cache" / "difficulty" / f"{mark}.parquet" if look.directory else None

    def losses(self, texts: list[str], answers: list[str]) -> Floats:
        """Mean nats a token of each answer after each text."""
        keys = [xxhash.xxh3_128_hexdigest(f"{text}\x00{answer}".encode()) for text, answer in zip(texts, answers, strict=True)]
        held = dict(read_parquet(self.path).iter_rows()) if self.path and self.path.exists() else {}
        first = {key: place for place, key in enumerate(keys) if key not in held}
        places = list(first.values())
        encoded = self.format.encode([texts[place] for place in places])
        targets = [self.format.answer(answers[place])[:LONGEST] for place in places]
        saved, asked = time.monotonic(), False
        with self.look.report.task("difficulty", len(places)) as task:
            for chosen, found in self._batches(encoded, targets):
                held |= {keys[places[row]]: loss for row, loss in zip(chosen, found, strict=True)}
                task.advance(len(chosen))
                asked = asked or self._say(len(chosen), len(places), time.monotonic() - saved)
                if time.monotonic() - saved > SAVE_EVERY:
                    saved = self._save(held)
        self._save(held)
        return np.array([held[key] for key in keys])

    def _batches(self, encoded: Any, targets: list[list[int]]) -> Any:
        """(rows, their mean losses) of one pass after the other."""
        import torch

        from tunewright.models.score import BATCH_TOKENS, batches
        from tunewright.models.tree import answer_log_probs, pack, prefix_states

        with torch.no_grad():
            prefix = prefix_states(self.base.model, encoded.prefix)
            for chosen in batches([len(b) + len(a) for b, a in zip(encoded.bodies, targets, strict=True)], BATCH_TOKENS):
                tree = pack(encoded.prefix, [encoded.bodies[row] for row in chosen], [[targets[row]] for row in chosen])
                nats = -answer_log_probs(self.base.model, tree, prefix=prefix).double()
                sums = torch.zeros(len(chosen), dtype=torch.float64).index_add(0, tree.branch, nats)
                yield chosen, [float(total) / len(targets[row]) for total, row in zip(sums, chosen, strict=True)]

    def _say(self, done: int, total: int, seconds: float) -> bool:
        if total > done and seconds * total / done > 20:
            self.look.report.say(
                f"          curate: difficulty of {total:,} prompts takes about {seconds * total / done / 60:.1f} minutes or more, once"
            )
        return True

    def _save(self, held: dict[str, float]) -> float:
        if self.path:
            write_parquet(self.path, pl.DataFrame(list(held.items()), schema=SCHEMA, orient="row"))
        return time.monotonic()
