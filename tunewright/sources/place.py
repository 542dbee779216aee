"""One place that records come from.

Place("/data/reviews.csv.gz", format "csv", name "reviews.csv.gz")   |   Place("postgresql://ann:...@db/shop", "sql", "postgresql://db/shop")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tunewright.core.recipe import DataSettings
from tunewright.sources.table import Table


@dataclass(frozen=True)
class Place:
    """One file or query: `path` (secret when it is a database's URL), the format that reads it, its name as `source` of rows; what is known
    besides: names of integer classes by column, values of added columns, new names of columns."""

    path: str
    format: str
    name: str
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return Path(self.path)

    @property
    def shown(self) -> str:
        """What errors call it: the path of a file, the URL of a database without credentials."""
        return self.name if self.format == "sql" else self.path

    def read(self, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
        """The tables of this place."""
        old = {new: name for name, new in self.renamed.items()}
        required = tuple(old.get(name, name) for name in required)
        tables: Iterator[Table] = import_module(f"tunewright.sources.formats.{self.format}").read(self, data, required)
        return (table.described(self.renamed, self.added) for table in tables) if self.renamed or self.added else tables
