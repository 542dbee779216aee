"""tsv: csv whose fields are separated by tabs, whatever its header line looks like."""

from __future__ import annotations

from collections.abc import Iterator

from tunewright.core.recipe import DataSettings
from tunewright.sources.formats import csv
from tunewright.sources.place import Place
from tunewright.sources.table import Table

ENDINGS = ("tsv", "tab")


def read(place: Place, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
    """Tables of at most about 8 MB."""
    return csv.read(place, data, required, delimiter="\t")
