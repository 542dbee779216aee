"""Spellings of a label: 'Positive', ' positive' and 'ｐositive' are one label written in three ways."""

from __future__ import annotations

import unicodedata

import polars as pl


def spellings(labels: pl.Series) -> dict[str, str]:
    """Each label to the spelling to use for it: the most frequent one of those that differ only in case, space or Unicode form."""
    counts = labels.drop_nulls().value_counts(sort=True, name="rows").sort("rows", labels.name, descending=[True, False])
    chosen: dict[str, str] = {}
    used = {}
    for label in counts[labels.name].to_list():
        form = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        used[label] = chosen.setdefault(form, " ".join(label.split()))
    return used
