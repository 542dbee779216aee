"""Rows that do not fit in memory: read in batches to one parquet file, looked at piece by piece, on this machine or on a cluster.

    reviews.jsonl (40 GB) --batches--> audit/rows.parquet --pieces of 100,000 rows--> cache/findings/html_remnants/000000300000.parquet

Checks of scope "row" run over the pieces as tasks of the executor; each task reads its piece, measures, decides and writes what it
found, so nothing that grows with the data passes through this process. Checks of scope "all" scan the file, or say that a sample
will do. The results are those of the path in memory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import psutil

from tunewright.audit.checks._shared import forget
from tunewright.audit.engine import BATCH, Measured, applicable, found_by, joined, look_of, timed
from tunewright.audit.measures import Measures
from tunewright.audit.result import AuditResult, Decided, Seen, class_sizes
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.executor import Executor, LocalExecutor, ThreadExecutor, workers_for
from tunewright.core.files import atomic_path, read_parquet, write_parquet
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.parts import Check, Look
from tunewright.core.progress import Report, Task
from tunewright.core.recipe import ComputeSettings, DataSettings, Recipe
from tunewright.core.rows import ReadResult, task_of
from tunewright.sources import joined as joined_parts
from tunewright.sources import read_batches, read_rows
from tunewright.sources.places import ending, open_data

GB = 10**9
BASE = 400_000_000  # bytes that the libraries take
FACTOR = 10  # bytes that reading and auditing take for a byte of text, measured at 500,000 short rows
UNPACKED = {"parquet": 3, "arrow": 3, "gz": 6, "xz": 8, "zst": 6, "bz2": 8}  # bytes of text in a byte of the file
FEWEST = 50_000  # rows that a sample has, however little memory there is


@dataclass(frozen=True)
class OnDisk:
    """Rows in a parquet file; what else was read (`rest.rows` are the first of the rows, none of them, to tell the columns)."""

    file: Path
    length: int
    rest: ReadResult
    folder: TemporaryDirectory[str] | None = None  # of the file, when nothing is to stay

    def scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.file)


@dataclass(frozen=True)
class Job:
    """One check in one piece: where its measures are kept (None: nowhere), and where its findings go."""

    check: Check
    measures: Path | None
    findings: Path


@dataclass(frozen=True)
class Piece:
    """`length` rows of `file` from `offset` on, and what to do with them."""

    file: Path
    offset: int
    length: int
    recipe: Recipe
    jobs: tuple[Job, ...]


def memory_limit(compute: ComputeSettings) -> int:
    """Bytes that an audit may take."""
    if compute.memory_gb is not None:
        return int(compute.memory_gb * GB)
    return int(0.6 * psutil.virtual_memory().available)


def needed(text: int) -> int:
    """Bytes of memory that an audit of so many bytes of rows takes."""
    return BASE + FACTOR * text


def read_within(data: DataSettings, compute: ComputeSettings, file: Path, report: Report) -> ReadResult | OnDisk:
    """Read `data`: into memory when the audit of it fits there and is to run here, else to the parquet `file`."""
    limit, size = memory_limit(compute) if compute.engine == "local" else 0, _bytes_of(data)
    if size is not None and needed(size) <= limit:
        return read_rows(data)
    held: list[ReadResult] = []
    parts: list[ReadResult] = []
    folder = file.with_name(f".{file.name}.parts.tmp")  # what a killed process leaves of it is cleared by the next run
    shutil.rmtree(folder, ignore_errors=True)
    try:
        text = 0
        with report.task("reading beyond memory") as task:
            for part in read_batches(data, BATCH):
                held.append(part)
                text += int(part.rows.estimated_size())
                if needed(text) > limit:
                    parts += [_put(one, folder / f"{len(parts) + place:06d}.parquet") for place, one in enumerate(held)]
                    held = []
                task.advance(len(part.rows))
        if not parts:
            return joined_parts(held)
        parts += [_put(one, folder / f"{len(parts) + place:06d}.parquet") for place, one in enumerate(held)]
        whole = pl.concat([pl.scan_parquet(folder / f"{place:06d}.parquet") for place in range(len(parts))], how="diagonal")
        with atomic_path(file) as beside:
            whole.sink_parquet(beside, row_group_size=BATCH)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return OnDisk(file, int(pl.scan_parquet(file).select(pl.len()).collect().item()), joined_parts(parts))


def _put(part: ReadResult, path: Path) -> ReadResult:
    write_parquet(path, part.rows)
    return replace(part, rows=part.rows.clear())


def _bytes_of(data: DataSettings) -> int | None:
    """About how many bytes of text the files hold; None for a database."""
    places = open_data(data).places
    if any(place.format == "sql" for place in places):
        return None
    packed = [UNPACKED.get(place.file.suffix.lstrip("."), 1) * UNPACKED.get(ending(place.file), 1) for place in places]
    return sum(times * place.file.stat().st_size for times, place in zip(packed, places, strict=True))


def audit_on_disk(found: OnDisk, recipe: Recipe, report: Report, executor: Executor, cache: Path) -> AuditResult:
    """`engine.audit_rows` for rows on disk; measures and findings are kept below `cache`."""
    if isinstance(executor, LocalExecutor):
        executor = ThreadExecutor(report)  # which share what the libraries take
    look = replace(look_of(recipe, report, executor), directory=cache)
    checks, skipped = applicable(recipe, found.rest.rows.columns)
    kept = Measures(cache / "measures", (found.scan().slice(start, BATCH).collect() for start in range(0, found.length, BATCH)), recipe)
    audit = _Audit(found, recipe, look, executor, cache / "findings", kept)
    shutil.rmtree(cache / "findings", ignore_errors=True)
    rows = [check for check in checks if check.scope == "row"]
    with report.task("looking at the rows", len(checks)) as task:
        by_piece = audit.pieces(rows, task)
        by_scan = [audit.measure(check, task) for check in checks if check.scope == "all"]
    forget()
    kept.prune()
    measured = {one.check.part_name(): one for one in (*by_piece, *by_scan)}
    skipped |= {name: one.problem for name, one in measured.items() if one.problem}
    decided = tuple(audit.decided(check, measured) for check in checks if not measured[check.part_name()].problem)

    def again(check: Check) -> Decided:
        if check.scope == "row":
            return audit.as_decided(audit.pieces([check], None)[0])
        return audit.decided(check, measured)

    return AuditResult(seen_on_disk(found), decided, skipped, recipe.audit.fail_on, again, tuple(audit.notes()))


def seen_on_disk(found: OnDisk) -> Seen:
    rest, labels = found.rest, found.scan().select("label") if "label" in found.rest.rows.columns else None
    classes = class_sizes(labels.collect()) if labels is not None else {}
    return Seen(found.length, len(rest.quarantine), len(rest.not_selected), task_of(rest.rows), classes)


class _Audit:
    """The audit of rows on disk, check by check."""

    def __init__(self, found: OnDisk, recipe: Recipe, look: Look, executor: Executor, findings: Path, kept: Measures) -> None:
        self.found, self.recipe, self.look, self.executor, self.folder, self.kept = found, recipe, look, executor, findings, kept
        self._sampled: list[str] = []
        self._rounds = 0
        self._scan = found.scan()  # one object, by which checks share a join

    def pieces(self, checks: Sequence[Check], task: Task | None) -> list[Measured]:
        """Run checks of scope "row" over all pieces; their findings lie in files afterwards, so no measures come back."""
        starts, self._rounds = range(0, self.found.length, BATCH), self._rounds + 1
        homes = [self._home(check) for check in checks]
        for home in homes:
            if home is not None and home.is_file():
                home.unlink()  # of an audit in memory
        pieces = [
            Piece(self.found.file, start, BATCH, self.recipe, tuple(self._job(*one, start) for one in zip(checks, homes, strict=True)))
            for start in starts
        ]
        outcomes = self.executor.map(look_at, pieces, workers_for(self.recipe.compute, self.executor))
        if task is not None:
            task.advance(len(checks))
        return [joined(one) for one in zip(*outcomes, strict=True)]

    def _home(self, check: Check) -> Path | None:
        return self.kept.path(check) if self.kept.folder is not None else None

    def _job(self, check: Check, home: Path | None, start: int) -> Job:
        name = f"{start:012d}-{BATCH}.parquet"
        return Job(check, home / name if home is not None else None, self.folder / f"{check.part_name()}-{self._rounds}" / name)

    def measure(self, check: Check, task: Task) -> Measured:
        """Let a check of scope "all" measure: by a scan of the file, or on the rows that fit in memory."""
        start, scans = time.perf_counter(), type(check).measure_scan is not Check.measure_scan
        partly = "" if scans or self.fitting >= self.found.length else f"of {self.fitting} rows"
        if partly:
            self._sampled.append(check.part_name())
        if (before := self.kept.get(check, partly)) is not None:
            return Measured(check, before, kept=True)
        if scans:
            try:
                done = Measured(check, check.measure_scan(self._scan, self.look), time.perf_counter() - start)
            except EnvironmentProblem as lacking:
                done = Measured(check, pl.DataFrame(), problem=str(lacking))
        else:
            done = timed(check, self.sample, self.look)
        if not done.problem:
            self.kept.put(check, done.measures, partly)
        task.advance(1, check.part_name())
        return done

    @cached_property
    def fitting(self) -> int:
        """How many rows fit in memory, about."""
        per_row = self.found.scan().head(BATCH).collect().estimated_size() / min(BATCH, self.found.length)
        return max(FEWEST, int((memory_limit(self.recipe.compute) - BASE) / (FACTOR * max(1.0, per_row))))

    @cached_property
    def sample(self) -> pl.DataFrame:
        """As many rows as fit in memory, in their order: those whose hashed ids come first."""
        least = (2**64 - 1) * min(self.fitting, self.found.length) // self.found.length
        return self.found.scan().filter(pl.col("row_id").hash(17) <= pl.lit(least, pl.UInt64)).collect(engine="streaming")

    def decided(self, check: Check, measured: dict[str, Measured]) -> Decided:
        one = measured[check.part_name()]
        if check.scope == "row":
            return self.as_decided(one)
        start = time.perf_counter()
        findings = found_by(check, one.measures, self._named(one.measures), self.look)
        return Decided(check, findings.lazy(), one.seconds + time.perf_counter() - start, one.kept)

    def as_decided(self, one: Measured) -> Decided:
        """The findings that the pieces have left in files, in the order of the rows."""
        files = sorted((self.folder / f"{one.check.part_name()}-{self._rounds}").glob("*.parquet"))
        findings = pl.scan_parquet(files) if files else pl.LazyFrame(schema=FINDING_SCHEMA)
        return Decided(one.check, findings, one.seconds, one.kept)

    def _named(self, measures: pl.DataFrame) -> pl.DataFrame:
        """The rows that measures name, or the sample where they name none."""
        if "row_id" not in measures.columns:
            return self.sample
        ids = measures.lazy().select("row_id").unique()
        return self.found.scan().join(ids, on="row_id", how="semi", maintain_order="left").collect()

    def notes(self) -> list[str]:
        notes = [self.found.rest.evidence] if self.found.rest.evidence else []
        if self._sampled:
            few = f"on about {self.fitting:,} of the rows, drawn by row id; more do not fit in memory"
            notes.append(f"{', '.join(self._sampled)}: {few}")
        return notes


def look_at(piece: Piece, report: Report) -> list[Measured]:
    """Measure and decide in one piece, wherever this runs; findings and measures go to files, numbers come back."""
    if not piece.file.is_file():
        raise EnvironmentProblem(
            f"{piece.file} cannot be seen from here. The run directory must be on storage that every node of the cluster mounts at the same path."
        )
    rows = pl.scan_parquet(piece.file).slice(piece.offset, piece.length).collect()
    look = look_of(piece.recipe, report, LocalExecutor(report))
    return [_look_with(job, rows, look) for job in piece.jobs]


def _look_with(job: Job, rows: pl.DataFrame, look: Look) -> Measured:
    start = time.perf_counter()
    kept = job.measures is not None and job.measures.is_file()
    if kept:
        assert job.measures is not None
        done = Measured(job.check, read_parquet(job.measures), kept=True)
    else:
        done = timed(job.check, rows, look)
        if job.measures is not None and not done.problem:
            write_parquet(job.measures, done.measures)
    if not done.problem and len(findings := found_by(job.check, done.measures, rows, look)):
        write_parquet(job.findings, findings)
    return replace(done, measures=pl.DataFrame(), seconds=time.perf_counter() - start)
