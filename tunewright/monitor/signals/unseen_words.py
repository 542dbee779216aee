"""How many words has the release never been tested on?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.shuffles import counts
from tunewright.monitor.texts import shifted, with_text, words


class UnseenWords(Signal):
    """Share of the window's words that no text of the reference holds."""

    family = "input"
    advice: ClassVar[str] = "read the requests with the new words: spelling, another language, a new subject? Label some of them"

    def measure(self, view: View) -> Measure | Unmeasured:
        own = with_text(view)
        if isinstance(own, Unmeasured):
            return own
        matrix, known = view.once("words", lambda: words(own))
        before, now = counts(matrix, own.sides)
        share = (now * (before < 0.5)).sum(axis=1, dtype=np.float64) / np.maximum(now.sum(axis=1, dtype=np.float64), 1)
        new = np.flatnonzero(before[0] < 0.5)
        common = new[np.argsort(-now[0][new], kind="stable")[:200]]
        moved = shifted(own, "word", known.gather(common).to_list(), matrix[:, common]) if len(common) else ()
        expected = float(share[1:].mean())
        return Measure(float(share[0]), expected, f"{share[0]:.1%} of the words are new; chance gives {expected:.1%}", share, moved=moved)
