"""The error tree. A user's mistake is a `TunewrightError`: it prints without a traceback and the command exits with 2.

Every message states the rule, the value, the place and the remedy. A bug is any other exception and keeps its traceback.
"""

from __future__ import annotations


class TunewrightError(Exception):
    """Something that the user can mend; the text is the whole message."""

    exit_code = 2


class RecipeError(TunewrightError):
    """The recipe is wrong. `problems` holds one line for each mistake, all of them at once."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = problems
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))

    def __reduce__(self) -> tuple[type[RecipeError], tuple[str, list[str]]]:
        return type(self), (self.source, self.problems)


class DataError(TunewrightError):
    """The rows cannot be used as they are."""


class EnvironmentProblem(TunewrightError):
    """This machine lacks something: a package, memory, a model."""


class RunError(TunewrightError):
    """The run directory is not what the command needs: locked, changed, unfinished, tampered with."""


class DiskFull(TunewrightError):
    """A write failed because no space is left."""


class LedgerError(Exception):
    """Rows were lost or counted twice: a bug in Tunewright or in a plug-in, never the user's mistake."""
