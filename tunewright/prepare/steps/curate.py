"""Train on fewer rows, chosen: those that little speaks against, that are hard enough, that cover the rest.

    {name: curate, keep: 0.5}                                   # half of the rows of each label, by quality and diversity
    {name: curate, keep: 1000, by: [quality, difficulty]}       # a thousand rows; difficulty needs the base model, and minutes

Whether the choice beats as many rows drawn at random is for `tunewright prove-data` to say.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.rows import content
from tunewright.core.score import Floats
from tunewright.prepare.curation.diversity import cover, vectors
from tunewright.prepare.curation.quality import penalties
from tunewright.prepare.steps._shared import change

POOL = 1.5  # of the rows to keep: the best that diversity chooses from, when it is not asked alone


class Curate(Step):
    """Keeps a chosen part of the training rows. Reasons: less_merit, covered_by_others. Unproven until compared with random rows."""

    scope: ClassVar[Literal["all", "train"]] = "train"
    keep: Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)] = Field(0.5, description="share of the rows, or their number")
    by: list[Literal["quality", "difficulty", "diversity"]] = Field(
        ["quality", "diversity"],
        min_length=1,
        description="quality: what the audit found; difficulty: IFD of the base model; diversity: k-centre",
    )
    by_label: bool = Field(True, description="choose inside each label, so that the shares of the labels stay")
    seed: int = Field(17, ge=0, description="decides between rows that are equally good")

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        wanted = self.keep if isinstance(self.keep, int) else round(self.keep * len(rows))
        if wanted >= len(rows):
            return StepResult(rows, change(rows.clear(), "dropped", ""))
        merit, said = self._merit(rows, look)
        points = vectors(content(rows)) if "diversity" in self.by else None
        state = np.full(len(rows), "less_merit", dtype=object)
        for part, share in self._parts(rows, wanted):
            best = part[np.argsort(-merit[part], kind="stable")]
            pool = best if points is None or len(self.by) == 1 else best[: max(share, round(POOL * share))]
            state[pool] = "covered_by_others" if points is not None else "less_merit"
            chosen = pool[:share] if points is None or share == 0 else pool[cover(points[pool], share, self.seed)]
            state[chosen] = ""
        marked = rows.with_columns(__state=pl.Series(state.tolist(), dtype=pl.String), __said=said)
        left = change(marked.filter(pl.col("__state") != ""), "dropped", pl.col("__state"), pl.col("__said"))
        return StepResult(marked.filter(pl.col("__state") == "").drop("__state", "__said"), left)

    def _merit(self, rows: pl.DataFrame, look: Look) -> tuple[Floats, pl.Series]:
        """(n,) the higher the better, equal rows in an order of chance; and what it is made of, in words."""
        chance = np.random.default_rng(self.seed).random(len(rows))
        merit, said = chance * 1e-6, pl.Series("said", [""] * len(rows))
        if "quality" in self.by:
            cost = penalties(rows, look.findings())
            merit, said = merit + _rank(-cost), said + pl.Series(cost).round(2).cast(pl.String) + " of findings; "
        if "difficulty" in self.by:
            from tunewright.prepare.curation.difficulty import ifd

            ratio = ifd(rows, look)
            merit = merit + _rank(np.where(ratio < 1, ratio, -ratio))  # the hardest below 1 first, above 1 last
            said = said + "IFD " + pl.Series(ratio).round(3).cast(pl.String) + "; "
        return merit, said.str.strip_chars_end("; ")

    def _parts(self, rows: pl.DataFrame, wanted: int) -> list[tuple[Any, int]]:
        """(rows of one label, how many of them to keep); one part where there are no labels."""
        if not (self.by_label and "label" in rows.columns):
            return [(np.arange(len(rows)), wanted)]
        codes = rows["label"].rank("dense").to_numpy()
        sizes = np.array([int((codes == code).sum()) for code in np.unique(codes)])
        exact = sizes * wanted / len(rows)
        take = np.floor(exact).astype(int)
        take[np.argsort(take - exact, kind="stable")[: wanted - take.sum()]] += 1
        return [(np.flatnonzero(codes == code), int(share)) for code, share in zip(np.unique(codes), take, strict=True)]


def _rank(values: Floats) -> Floats:
    """Ranks scaled to 0..1, equal values equal."""
    ranks = pl.Series(values).rank("average").to_numpy()
    return np.asarray((ranks - 0.5) / max(1, len(values)), dtype=np.float64)
