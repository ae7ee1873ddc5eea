"""Progress of an ingest on standard error: bars on a terminal, nothing but results elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from classrel_db.render.text import megabytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bars

    from classrel_db.records import Ingested, Progress, Step


@contextmanager
def ingest_bars() -> Iterator[Progress | None]:
    """What to hand to ``Catalog.ingest`` as ``progress``; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Count(ProgressColumn):
        """Done of all, and how many a second, in the stage's own unit."""

        def render(self, task: object) -> Text:
            unit = task.fields["unit"]  # type: ignore[attr-defined]
            done, total, speed = task.completed, task.total or 0, task.speed  # type: ignore[attr-defined]
            if task.total is None:  # type: ignore[attr-defined]
                return Text("the whole file, into torch's cache")
            if unit == "bytes":
                rate = f"{megabytes(speed)}/s" if speed else ""
                return Text(f"{megabytes(done)} of {megabytes(total)}  {rate}")
            rate = f"{speed:,.0f}/s" if speed else ""
            return Text(f"{done:,.0f} of {total:,.0f} {unit}  {rate}")

    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        Count(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield _Watcher(bars).step


class _Watcher:
    """One bar a stage and model; the last one stays while the next begins."""

    _UNITS = {"download": "", "read": "bytes", "neighbors": "classes", "pairs": "pairs"}  # noqa: RUF012

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], object] = {}

    def step(self, step: Step) -> None:
        key = (step.model, step.stage)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(
                f"{printable(step.model)} {step.stage}",
                total=step.total or None,
                unit=self._UNITS[step.stage],
            )
        self._bars.update(self._tasks[key], completed=step.done, total=step.total or None)  # type: ignore[arg-type]


def ingest_line(answer: Ingested) -> str:
    """One line about what one ingest did."""
    size = f"{answer.n_classes:,} classes × {answer.dim:,}"
    read = f"read {megabytes(answer.bytes_read)} of {megabytes(answer.bytes_total)}"
    pairs = f"{answer.n_pairs:,} pairs" if answer.n_pairs else "no pairs (see --pairs)"
    if answer.status == "unchanged":
        return f"{printable(answer.model)}: unchanged, the same head is stored already ({size})"
    return f"{printable(answer.model)}: {answer.status}, {size}, {pairs}, {read} in {answer.seconds:.1f} s"
