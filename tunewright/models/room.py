"""How many tokens a text may have, and how many it has, without the seconds that a model's library takes to load.

`ChatFormat` is the truth about both. What it said about a tokenizer, an instruction and labels is remembered in the cache
(`rooms/*.json`); texts are counted with the `tokenizers` library alone, give or take the few tokens at their seams (`SEAM`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunewright import __version__
from tunewright.core.files import fingerprint, read_json, write_json
from tunewright.core.optional import require
from tunewright.core.recipe import Recipe
from tunewright.models.load import cache_dir, model_directory

SEAM = 16
FILES = ("tokenizer.json", "tokenizer_config.json", "*.jinja", "*.model", "config.json")


def room_for(recipe: Recipe, labels: Sequence[str], tokenizer: Callable[[], Any]) -> int:
    """Tokens that `model.max_length` leaves for a text; `tokenizer` is only called when this was never asked before."""
    directory = model_directory(recipe.model.base)
    files = sorted({file for name in FILES for file in directory.glob(name)})
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    asked = [__version__, str(directory.resolve()), stamps, recipe.data.instruction, recipe.model.model_dump(), list(labels)]
    memo = cache_dir() / "rooms" / f"{fingerprint(asked)}.json"
    if not memo.is_file():
        from tunewright.models.chat import ChatFormat

        write_json(memo, {"room": ChatFormat.of(recipe, tokenizer(), labels).room})
    return int(read_json(memo)["room"])


def count_tokens(base: str, texts: Sequence[str]) -> list[int] | None:
    """Tokens of each text by the model's `tokenizer.json`, what looks like a control token taken as text; None without that file."""
    path: Path = model_directory(base) / "tokenizer.json"
    if not path.is_file():
        return None
    known = require("tokenizers", "train").Tokenizer.from_file(str(path))
    known.encode_special_tokens = True
    known.no_truncation()
    return [len(one) for one in known.encode_batch_fast(texts, add_special_tokens=False)]
