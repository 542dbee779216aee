"""Do texts use other words than those that the release was tested on?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.shuffles import counts, divergence
from tunewright.monitor.texts import shifted, with_text, words


class Vocabulary(Signal):
    """Frequencies of the commonest words: Jensen-Shannon divergence."""

    family = "input"
    advice: ClassVar[str] = "read the requests with the words that rose: a new product, a campaign, another source? Label some of them"
    words: int = Field(1000, ge=10, description="the commonest words of window and reference together that are compared")

    def measure(self, view: View) -> Measure | Unmeasured:
        own = with_text(view)
        if isinstance(own, Unmeasured):
            return own
        matrix, known = view.once("words", lambda: words(own))
        frequency = np.asarray(matrix.sum(axis=0)).ravel()
        common = np.sort(np.argsort(-frequency, kind="stable")[: self.words])
        columns = matrix[:, common]
        apart = divergence(*counts(columns, own.sides))
        named = np.flatnonzero(known.gather(common).str.contains(r"\w").to_numpy())  # marks count, but tell a reader little
        moved = shifted(own, "word", known.gather(common[named]).to_list(), columns[:, named])
        rose = ", ".join(one.name for one in moved if (one.now or 0) > (one.before or 0))
        return Measure(float(apart[0]), 0.0, f"words that rose most: {rose or 'none'}", apart, quadratic=True, moved=moved)
