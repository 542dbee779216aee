"""arrow: Arrow's own files, as Hugging Face `save_to_disk` writes them; classes that are stored as numbers get their names back.

text string | label int64 (ClassLabel: negative, positive)   ->   text "great phone" | label positive | line 1
"""

from __future__ import annotations

from collections.abc import Iterator

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources.formats.parquet import of_batches
from tunewright.sources.place import Place
from tunewright.sources.table import Table

ENDINGS = ("arrow", "feather")


def read(place: Place, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
    """Tables, one a record batch."""
    import pyarrow as pa

    try:
        with pa.memory_map(place.path) as file:
            try:
                reader = pa.ipc.open_stream(file)
                batches = iter(reader)
            except pa.ArrowInvalid:
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            yield from of_batches(place, batches, reader.schema.empty_table())
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{place.path}: cannot be read as Arrow ({error}).") from error
