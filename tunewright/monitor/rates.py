"""Shares of requests that something is true of, more often than in the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunewright.core.watch import Measure, Moved, View
from tunewright.monitor.shuffles import rise
from tunewright.monitor.texts import examples


def more_often(view: View, happened: Any, what: str, kind: str) -> Measure:
    """Whether `happened` (rows,) holds for a larger share of the window than of the reference."""
    happened = np.asarray(happened, dtype=np.bool_)
    before, now = float(happened[~view.now].mean()), float(happened[view.now].mean())
    moved = (Moved(kind, "share of answers", before, now, examples(view, happened)),) if happened.any() else ()
    return Measure(now, before, f"{now:.1%} of the {what}; in the reference {before:.1%}", rise(happened, view.sides), moved=moved)
