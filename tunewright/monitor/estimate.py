"""Accuracy without labels, three ways. Each is a mean of one score a row, which `benchmarks/drift.py` compares on real drift.

difference   reference accuracy - (mean confidence there - mean confidence now)       DoC, Guillory et al. 2021, arXiv:2107.03315
threshold    share of rows surer than t, where as many reference rows are surer than t as are right    ATC, Garg et al. 2022, arXiv:2201.04234
mean         mean calibrated confidence
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tunewright.core.score import Floats

Method = Literal["difference", "threshold", "mean"]


def per_row(method: Method, sure: Floats, reference: Floats, right: Floats) -> Floats:
    """The score of each row of confidence `sure`, whose mean moves with the estimate; `reference` and `right` are the reference's."""
    if method != "threshold":
        return np.asarray(sure, np.float64)
    cut = np.quantile(reference, 1 - float(np.mean(right)))
    return np.asarray(sure >= cut, np.float64)


def estimate(method: Method, sure: Floats, reference: Floats, right: Floats) -> float:
    """Estimated accuracy of answers with the confidences `sure`."""
    now = float(per_row(method, sure, reference, right).mean())
    if method == "difference":
        now = float(np.mean(right)) - (float(np.mean(reference)) - now)
    return min(1.0, max(0.0, now))
