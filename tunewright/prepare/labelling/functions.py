"""Labelling functions: small rules that vote for a label or abstain, in the shape Snorkel users know.

    from tunewright.prepare.labelling import ABSTAIN, labelling_function

    @labelling_function()
    def asks_for_money(x):                                   # one row: x.text and the file's own columns
        return "complaint" if "refund" in x.text else ABSTAIN

    @labelling_function(frame=True)
    def praise(rows):                                        # all rows at once: a Polars expression, series or list; far faster
        return pl.when(pl.col("text").str.contains("(?i)love it")).then(pl.lit("praise"))

A vote is the name of a label, or a number of the file's `LABELS`; ABSTAIN (-1), None and null abstain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ABSTAIN = -1


class LabellingFunction:
    """A named rule. `resources` are passed by keyword; each of `pre` turns the row into the one that the next sees."""

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        resources: Mapping[str, Any] | None = None,
        pre: Sequence[Callable[[Any], Any]] | None = None,
        frame: bool = False,
    ) -> None:
        self.name, self.frame = name, frame
        self._f, self._resources, self._pre = f, dict(resources or {}), list(pre or ())

    def __call__(self, x: Any) -> Any:
        for step in self._pre:
            x = step(x)
            if x is None:  # as in Snorkel: a preprocessor that gives nothing leaves nothing to vote on
                return ABSTAIN
        return self._f(x, **self._resources)

    def __repr__(self) -> str:
        return f"LabellingFunction({self.name}{', frame=True' if self.frame else ''})"


def labelling_function(
    name: str | None = None,
    resources: Mapping[str, Any] | None = None,
    pre: Sequence[Callable[[Any], Any]] | None = None,
    frame: bool = False,
) -> Callable[[Callable[..., Any]], LabellingFunction]:
    """Make a labelling function of the function below. With `frame` it is given all rows as a Polars frame."""
    if callable(name):
        raise TypeError("labelling_function needs parentheses: @labelling_function()")
    return lambda f: LabellingFunction(name or f.__name__, f, resources, pre, frame)


labeling_function = labelling_function
