"""`tunewright label RECIPE_OR_DATA FUNCTIONS.py`: label rows by rules that vote."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import out
from tunewright.core.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from tunewright.core.recipe import DataSettings
    from tunewright.prepare.labelling.label import Labelled

HELP = "label rows by labelling functions: coverage, conflicts, a label model, probabilities as weights"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="RECIPE_OR_DATA")
    parser.add_argument("functions", metavar="FUNCTIONS.py", help="a Python file with @labelling_function()s; it is run")
    parser.add_argument("-o", "--output", metavar="FILE.parquet", help="where to write the labelled rows (default: only look)")
    parser.add_argument("--model", default="dawid_skene", metavar="NAME", help="majority, dawid_skene (default) or snorkel")
    parser.add_argument("--text", metavar="COLUMN", help="column with the text, when a data file is given (default: as `init` guesses)")
    parser.add_argument(
        "--gold",
        metavar="COLUMN",
        help="column with labels that are known; they judge and never teach (default: the recipe's data.label, or `label`)",
    )
    parser.add_argument("--balance", metavar="L=SHARE,...", help="how frequent each label is, where you know it")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the recipe; may be repeated")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.files import write_json, write_parquet
    from tunewright.core.progress import Report
    from tunewright.prepare.labelling.label import known_model, label_rows
    from tunewright.prepare.labelling.load import load_functions

    model, target = known_model(given.model), Path(given.output) if given.output else None
    if target is not None and target.suffix != ".parquet":
        raise DataError(f"-o {target}: the labelled rows are written as parquet. Give a name that ends in .parquet.")
    functions = load_functions(Path(given.functions))
    rows, gold, unreadable = _read(given)
    done = label_rows(rows, functions, model, gold, _balance(given.balance), Report())
    document = {**done.document(), "unreadable": unreadable}
    lines = _lines(done, unreadable)
    if target is not None:
        files = [target, target.with_suffix(".no_vote.parquet"), target.with_suffix(".json")]
        write_parquet(files[0], done.rows)
        write_parquet(files[1], done.left_out)
        write_json(files[2], document)
        lines += ["", f"wrote {', '.join(map(str, files))}", f"Next: tunewright init {target}"]
    out(given, document, lines)
    return 0


def _read(given: argparse.Namespace) -> tuple[pl.DataFrame, pl.Series | None, int]:
    """All rows, labelled or not; the labels that are known, if any; and how many records could not be read."""
    import polars as pl

    from tunewright.core.settings import did_you_mean
    from tunewright.sources import read_rows

    data = _settings(given)
    read = read_rows(data.model_copy(update={"layout": "text", "label": "\x00no label"}))
    rows = read.rows
    wanted = given.gold or data.label
    names = {"label": "label_", **{name: name for name in rows.columns}}
    gold = rows[names[wanted]] if wanted in names and names[wanted] in rows.columns else None
    if gold is None and given.gold:
        raise DataError(f"--gold: there is no column {given.gold!r}.{did_you_mean(given.gold, rows.columns)}")
    if gold is None:
        return rows, None, len(read.quarantine)
    known = gold.cast(pl.String).str.strip_chars().replace("", None)
    return rows.drop(gold.name), None if known.null_count() == len(known) else known, len(read.quarantine)


def _settings(given: argparse.Namespace) -> DataSettings:
    from tunewright.core.recipe import Recipe
    from tunewright.starter import guess_settings

    if Path(given.data).suffix.lower() in (".yaml", ".yml"):
        return Recipe.load(given.data, given.set).data
    path = str(Path(given.data).resolve())
    guessed = {} if given.text else guess_settings(Path(given.data))[0]
    values = {name: guessed[name] for name in ("text", "format", "encoding") if name in guessed}
    return Recipe.check(
        {"data": {**values, **({"text": given.text} if given.text else {}), "path": path}}, "command line", overrides=given.set
    ).data


def _balance(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    pairs = [one.partition("=") for one in text.split(",")]
    try:
        return {name.strip(): float(share) for name, _, share in pairs}
    except ValueError as error:
        raise DataError(f"--balance must be LABEL=SHARE,LABEL=SHARE, for example --balance spam=0.3,ham=0.7, but got {text!r}.") from error


def _lines(done: Labelled, unreadable: int) -> list[str]:
    gold = "accuracy" in done.functions.columns
    width = max(8, *(len(name) for name in done.votes.names))
    lines = [f"{'function':<{width}}  coverage  overlaps  conflicts  " + ("accuracy  " if gold else "") + "believed  votes for"]
    for one in done.functions.to_dicts():
        accuracy = f"{_share(one['accuracy']):>8}  " if gold else ""
        shares = f"{one['coverage']:>8.1%}  {one['overlaps']:>8.1%}  {one['conflicts']:>9.1%}"
        lines.append(f"{one['function']:<{width}}  {shares}  {accuracy}{_share(one['believed']):>8}  {one['polarity']}")
    for name, failures in done.votes.failures.items():
        if failures.count:
            lines += [f"{name} failed on {failures.count:,} rows and abstained there:", *(f"  {one}" for one in failures.first)]
    lines += [f"warning: {one.words()}" for one in done.pairs]
    lines += ["", *map(_model, done.scores)]
    if not done.believed.converged:
        lines.append(f"warning: {done.model} has not converged in {done.believed.rounds} rounds")
    if done.unknown_gold:
        lines.append(
            f"{done.unknown_gold:,} rows have a known label for which no function votes; they are labelled all the same, and not in the accuracy"
        )
    counts = ", ".join(f"{label} {rows:,}" for label, rows in done.document()["labels"].items())
    lines.append(f"{len(done.rows):,} rows labelled by {done.model} ({counts}); {len(done.left_out):,} left out: no_vote")
    return lines + ([f"{unreadable:,} records could not be read"] if unreadable else [])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _model(one: dict[str, Any]) -> str:
    name = f"{one['model']}: mean probability {one['mean_probability']:.1%}"
    if "accuracy" not in one:
        return name
    return f"{name}, accuracy {one['accuracy']:.1%} ({one['low']:.1%} to {one['high']:.1%}) on {one['gold_rows']:,} rows with a known label"
