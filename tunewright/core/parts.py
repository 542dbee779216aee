"""The verbs: what each kind of part must be able to do. One abstract method each; a new part is one new file.

See `docs/add-a-part.md`. Contract tests in `tests/` run over every part that the folders hold.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.executor import Executor
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.plugins import Part
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.score import Floats, LabelTask, Predictions
from tunewright.core.watch import Measure, Unmeasured, View

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Look:
    """What a check or a step may look at besides the rows: the recipe, the tokenizer (loaded when first asked for), progress.

    Steps also have the run's `directory` and the audit's `findings`; those of scope "train" have `held_out`, the rows of
    validation and test, to keep new rows away from them and never to learn from.
    """

    recipe: Recipe
    report: Report
    executor: Executor
    tokenizer: Callable[[], Any]
    directory: Path | None = None
    findings: Callable[[], pl.DataFrame] = lambda: pl.DataFrame(schema=FINDING_SCHEMA)
    held_out: pl.DataFrame | None = None
    step: int = 0  # place among the steps that ran: ids of new rows hold it, so that no two steps make the same


class Check(Part):
    """Looks at rows and says what is wrong with them; changes nothing. To measure is apart from to decide, so that a threshold
    can be moved without measuring again: measures are kept under `cache/measures` of the run directory."""

    severity: ClassVar[str] = "warning"
    needs: ClassVar[tuple[str, ...]] = ()  # columns besides `text`; rows without them are not this check's business
    scope: ClassVar[Literal["row", "all"]] = "row"  # "row": a row's measure depends on that row alone, so batches may run anywhere
    default: ClassVar[bool] = True  # whether `audit.checks: default` runs it
    shares: ClassVar[str] = ""  # what it makes of the rows together with other checks; they run first, and then it is freed
    measured_by: ClassVar[tuple[str, ...]] = ()  # the settings that `measure` reads; the others are thresholds for `decide`

    @abstractmethod
    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        """What there is to know before deciding; the slow part. Scope "row": lines with `row_id` for rows of interest, and the
        measures of two batches are those of each, one after the other."""

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        """Scope "all", for rows that do not fit in memory: the same as `measure`, from a scan of their parquet file. For a check
        without it `measure` gets as many rows as fit (those whose hashed ids come first), and the summary says how many."""
        return self.measure(rows.collect(), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        """Findings (columns of `core.finding.FINDING_SCHEMA`) about `rows` (row_id, source, line, text, label, ...). Without
        thresholds the measures are the findings. Of rows that do not fit in memory only those that the measures name are here."""
        return measures

    def reads(self) -> list[Path]:
        """Files that the measures depend on besides the rows, so that it measures again when they change."""
        return []

    def run(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        """Measure and decide."""
        return self.decide(self.measure(rows, look), rows, look)


@dataclass(frozen=True)
class StepResult:
    """`rows` that go on, those that are new last, and `changes`: ledger lines (row_id, source, line, action, reason, detail) for what was
    fixed, dropped, quarantined or added. `rejected`: rows that the step made and did not take; they have lines added and dropped."""

    rows: pl.DataFrame
    changes: pl.DataFrame
    rejected: pl.DataFrame | None = None


class Step(Part):
    """Repairs, drops, redacts or adds rows, and says why for each."""

    scope: ClassVar[Literal["all", "train"]] = "all"  # "train": runs after the split, on training rows only

    @abstractmethod
    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        """Apply the step. A row that leaves, changes or is new has a line in `changes`; a new one names its `parent_id`."""

    def reads(self, directory: Path) -> list[Path]:
        """Files that the result depends on besides rows and findings, so that the stage runs again when they change."""
        return []


class Augmenter(Part):
    """Writes new training texts after old ones."""

    by_model: ClassVar[bool] = False  # a model reads the text, so it is shown whole; the others do not see code, links and numbers
    writes: ClassVar[Literal["turn", "row"]] = "turn"  # "row": where rows have answers it writes both text and `answer`

    @abstractmethod
    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        """At most `number` new texts for each of `rows`, as (parent_id, text) with null for one that failed. The step `augment`
        checks, counts and names them; rows of one parent are in order. `text` is what one turn of the user says."""


class Technique(Part):
    """Decides which weights learn, and how fast."""

    alias: str | None = Field(None, pattern=r"^\w[\w-]*$", description="name of the candidate; needed when a technique appears twice")
    learning_rate: float = Field(1e-4, gt=0, description="peak, reached after warmup_steps")
    warmup_steps: int = Field(5, ge=1, description="steps of linear warm-up; a cosine to zero follows")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")

    @abstractmethod
    def apply(self, model: Any, tokenizer: Any) -> Any:
        """Make the chosen weights trainable and the rest frozen; return the model to train."""

    @abstractmethod
    def learns(self, weight: str) -> bool:
        """Whether the weight of this name (in the model that `apply` returned) may get a gradient; the run checks it."""

    @abstractmethod
    def save(self, model: Any, directory: Path) -> None:
        """Write what was learnt below `directory` (`adapter/` in PEFT layout, or `model/`)."""

    def frozen_layers(self, model: Any) -> int:
        """How many layers, from the bottom, give the same output as the untuned model; those are computed once a row."""
        return 0


class Objective(Part):
    """Decides what the weights learn: turns a packed batch into a loss."""

    @abstractmethod
    def loss(self, model: Any, tree: Any, lower: Any) -> tuple[torch.Tensor, int]:
        """Summed loss over the answer tokens of `tree` (`models.tree.Tree`), each row times its weight (`tree.weights`, or None), and
        the number of tokens.

        `lower` (`models.frozen.LowerStates` or None) holds what the frozen layers say of its rows.
        """


class Metric(Part):
    """Scores predictions. `higher_is_better` is None for a metric that never decides."""

    higher_is_better: ClassVar[bool | None] = True

    @abstractmethod
    def compute(self, predictions: Predictions) -> Any:
        """A number, or a table as plain JSON types."""


class Baseline(Part):
    """A cheaper system that a tuned model has to beat."""

    uses_model: ClassVar[bool] = False

    @abstractmethod
    def predict(self, task: LabelTask, look: Look) -> Predictions:
        """Fit on `task.train` and answer `task.test`, whose labels are not there to be seen."""


class Explainer(Part):
    """Says why a model gave an answer."""

    @abstractmethod
    def explain(self, score: Callable[[list[str]], Floats], rows: pl.DataFrame, labels: list[str]) -> dict[str, Any]:
        """A JSON document for `explain/NAME.json`. `score` turns texts into (n, c) log-likelihoods of `labels`."""


class Signal(Part):
    """Watches one property of a release's traffic. Signals of one `family` share the rate of false alarms (`monitor.false_alarms`)."""

    family: ClassVar[Literal["input", "output", "operation", "truth"]]
    severity: ClassVar[Literal["info", "warning", "critical"]] = "warning"
    advice: ClassVar[str]  # what to do about an alarm
    at_once: ClassVar[bool] = False  # one look is enough for an alert, without `alerts.raise_after`

    @abstractmethod
    def measure(self, view: View) -> Measure | Unmeasured:
        """Compare the window with the reference. A statistic has a value for every line of `view.sides`, computed in the same way for
        each, the truth included: whatever tells window from reference otherwise would be taken for drift."""
