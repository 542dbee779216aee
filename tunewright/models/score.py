"""Score every label as the answer to every text, by log-likelihood.

A label's score is the sum of log p over its own tokens, without the end token, so that a label is not favoured for
ending surely; answer perplexity counts the end token too. The prefix is computed once for all batches, a row's text once for
all labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tunewright.core.progress import Task
from tunewright.core.score import Floats, Ints
from tunewright.models.chat import ChatFormat
from tunewright.models.frozen import LowerStates
from tunewright.models.load import LoadedModel
from tunewright.models.tree import PrefixStates, answer_log_probs, pack, prefix_states

BATCH_TOKENS = 1536  # row tokens in one pass; more is no faster on a processor


@dataclass(frozen=True)
class LabelScores:
    """Of n texts and c labels, each (n, c): nats of the label (higher is likelier), nats and number of answer tokens with end."""

    labels: list[str]
    log_likelihood: Floats
    answer_nll: Floats
    answer_tokens: Ints

    def predict(self, prior: Floats | None = None) -> Ints:
        """Index of the likeliest label; `prior` (c,) is taken off first: what the model says whatever the text."""
        scores = self.log_likelihood if prior is None else self.log_likelihood - prior
        return np.asarray(np.argmax(scores, axis=1), dtype=np.int64)

    def probabilities(self, prior: Floats | None = None) -> Floats:
        """Softmax over the labels (n, c)."""
        scores = self.log_likelihood if prior is None else self.log_likelihood - prior
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


@torch.no_grad()
def score_labels(
    loaded: LoadedModel | Any,
    fmt: ChatFormat,
    texts: Sequence[str],
    labels: Sequence[str] | None = None,
    *,
    task: Task | None = None,
    lower: LowerStates | None = None,
    prefix: PrefixStates | None = None,
) -> LabelScores:
    """Score `labels` (those of `fmt` by default) for each text. `loaded` is a LoadedModel or the model itself; `prefix` is what
    `prefix_states` said of it and of `fmt.prefix`, for callers that ask again and again."""
    model = loaded.model if isinstance(loaded, LoadedModel) else loaded
    names = list(fmt.labels if labels is None else labels)
    answers = [fmt.answer(label) for label in names]
    encoded = fmt.encode(texts)
    label_nll, whole_nll = np.zeros((2, len(texts), len(names)))
    training = model.training
    model.eval()
    prefix = prefix_states(model, encoded.prefix, lower) if prefix is None else prefix
    for rows in batches([len(body) + sum(map(len, answers)) for body in encoded.bodies], BATCH_TOKENS):
        tree = pack(encoded.prefix, [encoded.bodies[row] for row in rows], [answers] * len(rows))
        nll = -answer_log_probs(model, tree, lower=lower, prefix=prefix).double()
        sums = torch.zeros(2, len(rows) * len(names), dtype=torch.float64)
        sums[0].index_add_(0, tree.branch, nll)
        sums[1].index_add_(0, tree.branch, nll * ~tree.last)
        whole_nll[rows], label_nll[rows] = sums.view(2, len(rows), len(names)).cpu().numpy()
        if task is not None:
            task.advance(len(rows))
    model.train(training)
    return LabelScores(names, -label_nll, whole_nll, np.tile([len(answer) for answer in answers], (len(texts), 1)))


def batches(sizes: list[int], limit: int) -> Iterator[list[int]]:
    """Rows in order of length, as many in a batch as have `limit` tokens together; at least one."""
    batch: list[int] = []
    used = 0
    for row in sorted(range(len(sizes)), key=sizes.__getitem__):
        if batch and used + sizes[row] > limit:
            yield batch
            batch, used = [], 0
        batch.append(row)
        used += sizes[row]
    if batch:
        yield batch
