"""Do people like the answers less?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.statistics import clopper_pearson, same_share
from tunewright.core.watch import Measure, Moved, Unmeasured, View

LEAST = 10  # thumbs in the window, and before it


class Thumbs(Signal):
    """Share of thumbs that point up, in this window against all windows of this version before it (Fisher's exact or chi-square test)."""

    family = "truth"
    advice: ClassVar[str] = "read the answers with a thumb down; people who vote are not a sample, so label a uniform one before retraining"

    def measure(self, view: View) -> Measure | Unmeasured:
        thumbs = view.thumbs
        now, earlier = (thumbs.filter(thumbs["now"]), thumbs.filter(~thumbs["now"])) if len(thumbs) else (thumbs, thumbs)
        if len(now) < LEAST:
            return Unmeasured(f"{len(now)} thumbs in the window; {LEAST} are the least to judge")
        up, n = int(now["up"].sum()), len(now)
        low, high = clopper_pearson(up, n)
        text = f"{up} of {n} thumbs point up ({up / n:.0%}; {low:.0%} to {high:.0%})"
        if len(earlier) < LEAST:
            return Measure(up / n, None, text + "; nothing earlier to compare with")
        before, of = int(earlier["up"].sum()), len(earlier)
        two_sided = same_share(up, n, before, of)
        p = two_sided / 2 if up / n < before / of else 1 - two_sided / 2
        moved = (Moved("thumb", "up", before / of, up / n, tuple(now.filter(~now["up"])["id"].tail(3).to_list())),)
        return Measure(up / n, before / of, f"{text}; before {before / of:.0%} of {of}", p=p, moved=moved)
