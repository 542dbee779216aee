"""What signals compute of texts, once for all of them: words, vectors, languages."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tunewright.core.optional import require
from tunewright.core.watch import Moved, Unmeasured, View

LEAST = 20  # rows on each side; below that nothing is compared


def with_text(view: View, column: str = "text") -> View | Unmeasured:
    """The rows that have `column`."""
    kept = view.where(view.rows[column].is_not_null())
    return enough(
        kept,
        f"the traffic store keeps no {'texts' if column == 'text' else column + 's'} (serve.traffic.keep), or too few requests have one",
    )


def enough(view: View, reason: str) -> View | Unmeasured:
    """The view, unless a side has too few rows."""
    here = int(view.now.sum())
    return (
        view
        if min(here, len(view.rows) - here) >= LEAST
        else Unmeasured(f"{reason} ({here} in the window, {len(view.rows) - here} in the reference)")
    )


def words(view: View) -> tuple[Any, pl.Series]:
    """Which words each text holds: a sparse matrix (rows, words) of 0 and 1, and the words. Words of one text alone count too."""
    from tunewright.text.quick import tokens

    cells = tokens(view.rows["text"]).unique()
    known = cells["word"].unique().sort()
    at = cells.join(known.to_frame().with_row_index("column"), on="word")
    shape = (len(view.rows), max(1, len(known)))
    held = (np.ones(len(at), np.float32), (at["row"].to_numpy(), at["column"].to_numpy()))
    return require("scipy.sparse", "audit").csr_matrix(held, shape=shape), known


def vectors(view: View) -> Any:
    """(rows, 256) unit vectors."""
    from tunewright.models.static import static_vectors

    return static_vectors(view.rows["text"].fill_null("").to_list())


def examples(view: View, mask: Any, most: int = 3) -> tuple[str, ...]:
    """Ids of the first rows of the window for which `mask` (rows,) holds."""
    return tuple(view.rows["id"].filter(pl.Series(np.asarray(mask, dtype=np.bool_) & view.now)).head(most).to_list())


def shifted(view: View, kind: str, names: list[str], columns: Any, most: int = 5) -> tuple[Moved, ...]:
    """The `names` whose share of the rows changed most, those that rose first; `columns` (rows, names) is 0 or 1."""
    now = view.sides[0]
    size = float(now.sum())
    inside = np.asarray(columns.T @ now, np.float64).ravel()
    whole = np.asarray(columns.sum(axis=0), np.float64).ravel()
    share, before = inside / max(size, 1.0), (whole - inside) / max(len(now) - size, 1.0)
    spread = np.sqrt(np.maximum(whole / len(now) * (1 - whole / len(now)), 1e-9))
    change = (share - before) / spread
    order = [int(one) for one in np.argsort(-np.abs(change), kind="stable")[: 2 * most] if share[one] != before[one]]
    found = sorted(order, key=lambda one: -change[one])[: 2 * most]
    return tuple(
        Moved(
            kind, names[one], float(before[one]), float(share[one]), examples(view, np.asarray(columns[:, [one]].sum(axis=1)).ravel() > 0)
        )
        for one in found
    )
