"""Are texts written in other languages?"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.shuffles import counts, divergence, one_hot
from tunewright.monitor.texts import shifted, with_text


class Language(Signal):
    """Mix of languages: Jensen-Shannon divergence. Texts too short or too doubtful to tell are a kind of their own."""

    family = "input"
    advice: ClassVar[str] = "does the model know these languages? Send them elsewhere, or label some and retrain"
    min_letters: int = Field(20, ge=1, description="shorter texts are 'unsure'")
    sure: float = Field(0.8, ge=0, le=1, description="least probability of a language; below it a text is 'unsure'")

    def measure(self, view: View) -> Measure | Unmeasured:
        from tunewright.text.language import identify

        own = with_text(view)
        if isinstance(own, Unmeasured):
            return own
        told = identify(own.rows["text"]).with_columns(letters=own.rows["text"].str.count_matches(r"\p{L}"))
        sure = (pl.col("probability") >= self.sure) & (pl.col("letters") >= self.min_letters)
        codes = told.select(pl.when(sure).then("code").otherwise(pl.lit("unsure")))["code"]
        names = codes.unique().sort().to_list()
        columns = one_hot(codes.replace_strict(names, range(len(names))).to_numpy(), len(names))
        apart = divergence(*counts(columns, own.sides))
        mix = dict(codes.filter(pl.Series(own.now)).value_counts(sort=True).head(3).iter_rows())
        text = "languages: " + ", ".join(f"{name} {count / own.now.sum():.0%}" for name, count in mix.items())
        return Measure(float(apart[0]), 0.0, text, apart, quadratic=True, moved=shifted(own, "language", names, columns, 3))
