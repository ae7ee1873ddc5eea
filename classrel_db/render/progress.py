"""Progress on standard error: bars on a terminal, nothing but an ingest's results elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from classrel_db.text import megabytes, printable, rounded_to, searched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyRelation
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from classrel_db.records import Failed, Ingested, Progress, Step

_REDRAWN_EVERY = 0.1  # seconds
_WORTH_A_BAR = 1.0  # seconds that an answer may take before a bar says how far it is


class IngestDisplay:
    """What an ingest says where nobody watches: a line for each model, when it is stored."""

    def starting(self, plan: DuckDBPyRelation) -> None:
        """Several models are to come, as ``Catalog.plan`` tells of them."""
        self.say(plan_line(plan))

    def step(self, step: Step) -> None:
        """How far one stage of one model has come."""
        if step.note:
            self.say(f"{printable(step.model)}: {printable(step.note)}")

    def done(self, answer: Ingested) -> None:
        """One model is stored."""
        self.say(ingest_line(answer))

    def failed(self, failure: Failed) -> None:
        """One model could not be stored."""
        self.say(f"{printable(failure.model)}: not stored")  # why is told at the end

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def ingest_display() -> Iterator[IngestDisplay]:
    """The display for this standard error: with bars on a terminal."""
    if not sys.stderr.isatty():
        yield IngestDisplay()
        return
    with _bars(auto_refresh=False) as bars:
        yield _Bars(bars)


@contextmanager
def answer_display() -> Iterator[Progress]:
    """What a question is told its steps with: a bar on a terminal, where it takes over a second."""
    if not sys.stderr.isatty():
        yield lambda _step: None
        return
    with ExitStack() as shown:
        started = time.monotonic()
        display: list[IngestDisplay] = []

        def step(step: Step) -> None:
            if not display and time.monotonic() - started > _WORTH_A_BAR:
                display.append(_Bars(shown.enter_context(_bars())))
            for each in display:
                each.step(step)

        yield step


def _bars(*, auto_refresh: bool = True) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Count(ProgressColumn):
        """Done of all, and how many a second, in the stage's own unit."""

        def render(self, task: Task) -> Text:
            if task.total is None:
                return Text("")
            if task.fields["unit"] == "bytes":
                rate = f"  {megabytes(task.speed)}/s" if task.speed else ""
                return Text(f"{megabytes(task.completed)} of {megabytes(task.total)}{rate}")
            rate = f"  {task.speed:,.0f}/s" if task.speed else ""
            return Text(f"{task.completed:,.0f} of {task.total:,.0f} {task.fields['unit']}{rate}")

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        Count(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        transient=True,
        auto_refresh=auto_refresh,
    )


class _Bars(IngestDisplay):
    """A bar for each stage of the models in hand, and one for all of several; above them the lines."""

    _UNITS = MappingProxyType(
        {
            "download": "bytes",
            "read": "bytes",
            "neighbors": "classes",
            "pairs": "pairs",
            "support": "resamples",
            "compare": "draws",
            "classes": "draws",
            "heads": "models",
            "models": "pairs",
            "trees": "models",
            "clades": "resamples",
            "measures": "measures",
        }
    )

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._all: TaskID | None = None
        # Models are read in several threads. Only under this is the terminal written to: a refresh in
        # rich's own thread can come between a line and the bars that it moves.
        self._lock = threading.RLock()
        self._drawn = 0.0

    def starting(self, plan: DuckDBPyRelation) -> None:
        super().starting(plan)
        with self._lock:
            self._all = self._bars.add_task("all", total=plan.shape[0], unit="models")

    def step(self, step: Step) -> None:
        super().step(step)
        key = (step.model, step.stage)
        with self._lock:
            if key not in self._tasks:
                self._tasks[key] = self._bars.add_task(
                    f"{printable(step.model)} {step.stage}",
                    total=step.total or None,
                    unit=self._UNITS[step.stage],
                )
            self._bars.update(self._tasks[key], completed=step.done, total=step.total or None)
            if time.monotonic() - self._drawn > _REDRAWN_EVERY:
                self._bars.refresh()
                self._drawn = time.monotonic()

    def done(self, answer: Ingested) -> None:
        super().done(answer)
        self._leave(answer.model)

    def failed(self, failure: Failed) -> None:
        super().failed(failure)
        self._leave(failure.model)

    def say(self, line: str) -> None:
        with self._lock:
            self._bars.console.print(line, soft_wrap=True)

    def _leave(self, model: str) -> None:
        with self._lock:
            for key in [key for key in self._tasks if key[0] == model]:
                self._bars.remove_task(self._tasks.pop(key))
            if self._all is not None:
                self._bars.advance(self._all)
            self._bars.refresh()


def plan_line(plan: DuckDBPyRelation) -> str:
    """One line about what is to come."""
    states, read, of, disk, unknown = plan.aggregate(
        "list(state), sum(read_bytes), sum(file_bytes) FILTER (state <> 'stored'), sum(disk_bytes), "
        "count(*) FILTER (read_bytes IS NULL)"
    ).fetchall()[0]
    there = states.count("stored")
    parts = [
        f"{len(states):,} model{'s' if len(states) > 1 else ''}"
        + (f", {there:,} of them stored already" if there else "")
    ]
    if there + unknown < len(states):
        known = f"{megabytes(read or 0)} to read" + (f" of {megabytes(of)}" if of else "")
        parts += [known, f"about {megabytes(disk or 0)} of disk"]
    if unknown:
        parts.append(f"{unknown:,} of unknown size")
    return "; ".join(parts)


def ingest_line(answer: Ingested) -> str:
    """One line about what one ingest did."""
    size = f"{answer.n_classes:,} classes × {answer.dim:,}"
    read = f"read {megabytes(answer.bytes_read)} of {megabytes(answer.bytes_total)}"
    pairs = f"{answer.n_pairs:,} pairs" if answer.n_pairs else "no pairs (see --pairs)"
    if answer.status == "unchanged":
        return f"{printable(answer.model)}: unchanged, the same head is stored already ({size})"
    parts = [
        f"{printable(answer.model)}: {answer.status}, {size}, {pairs}, {read} in {answer.seconds:.1f} s"
    ]
    if answer.search != "exact":
        parts.append(searched(answer.recall, answer.recall_low, answer.recall_all))
    if answer.dtype and answer.cosine_error:
        parts.append(rounded_to(answer.dtype, answer.cosine_error))
    if answer.other_heads:
        parts.append(f"other heads: {', '.join(map(printable, answer.other_heads))}")
    if answer.same_as is not None:
        parts.append(f"NOTE: the very head of {printable(answer.same_as)}, which now counts twice")
    return "; ".join(parts)
