"""The compiled loop of `language`: the same walk and the same sums as py3langid's, for many texts at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunewright.text.kernels import kernel

Array = npt.NDArray[Any]


@kernel
def score(data: Array, ends: Array, moves: Array, row_of: Array, feature_of: Array, weights: Array, prior: Array) -> Array:
    """(texts, languages) log-posteriors of naive Bayes over the byte n-grams that an automaton finds in each text.

    `moves` is the automaton's table (256 entries a row), `row_of` a state's row in it, `feature_of` the n-gram that a state
    completes (-1: none), `weights` (n-grams, languages). A text without any known n-gram has zeros throughout.
    """
    scores = np.zeros((len(ends), len(prior)), np.float32)
    count = np.zeros(len(weights), np.int32)
    seen = np.empty(len(weights), np.int64)
    total = np.zeros(len(prior), np.float32)
    place = 0
    for text in range(len(ends)):
        state, distinct = 0, 0
        while place < ends[text]:
            state = moves[np.int64(row_of[state]) * 256 + data[place]]
            place += 1
            feature = feature_of[state]
            if feature >= 0:
                if count[feature] == 0:
                    seen[distinct] = feature
                    distinct += 1
                count[feature] += 1
        if distinct:
            total[:] = prior
        else:
            total[:] = 0
        for feature in seen[:distinct]:
            weight, row = np.float32(np.log1p(np.float32(count[feature]))), weights[feature]
            for language in range(len(total)):
                total[language] += weight * row[language]
            count[feature] = 0
        scores[text] = total
    return scores
