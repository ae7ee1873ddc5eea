"""Figures, their bounds, and the table that shows them."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_UNITS = {  # what a figure is shown in: (factor, digits, suffix)
    "s": (1.0, 2, " s"),
    "ms": (1e3, 2, " ms"),
    "B": (1.0, 0, " B"),
    "MB": (1e-6, 2, " MB"),
    "GB": (1e-9, 2, " GB"),
    "B/pair": (1.0, 2, " B/pair"),
    "%": (100.0, 1, " %"),
    "^": (1.0, 2, ""),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: seconds, bytes or a share of classrel, and of the yardstick if there is one."""

    what: str
    unit: str
    classrel: float
    other: float | None = None
    bound: Bound | None = None

    @property
    def ratio(self) -> float:
        """How many times the yardstick classrel takes."""
        return self.classrel / self.other if self.other else float("nan")


@dataclass(frozen=True, slots=True)
class Bound:
    """What must hold of a figure."""

    text: str
    holds: Callable[[Figure], bool]


def at_most(times: float) -> Bound:
    return Bound(f"at most {times:g}×", lambda figure: figure.ratio <= times)


def times_faster(times: float) -> Bound:
    return Bound(f"{times:g}× faster", lambda figure: 1 / figure.ratio >= times)


def below(limit: float, unit: str) -> Bound:
    """An absolute limit, in seconds or bytes."""
    return Bound(f"under {_shown(limit, unit)}", lambda figure: figure.classrel < limit)


def machine() -> None:
    """The facts that a number needs to be read, from metadata alone."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    packages = ("classrel-db", "duckdb", "numpy", "faiss-cpu", "pyarrow", "torch", "torchvision")
    print(
        f"{len(os.sched_getaffinity(0))} cores ({_processor()}), {memory / 1e9:.0f} GB; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    print(", ".join(f"{package} {version(package)}" for package in packages))
    print(f"files in the page cache, medians unless said otherwise; {load()}\n", flush=True)


def load() -> str:
    return f"load average {os.getloadavg()[0]:.2f}"


def table(name: str, figures: Sequence[Figure]) -> None:
    columns = Table(title=name, box=box.SIMPLE, title_justify="left", pad_edge=False)
    columns.add_column("what")
    for heading in ("classrel", "floor/other", "ratio"):
        columns.add_column(heading, justify="right", no_wrap=True)
    columns.add_column("bound", no_wrap=True)
    columns.add_column("verdict", no_wrap=True)
    for figure in figures:
        bound = figure.bound
        columns.add_row(
            figure.what,
            _shown(figure.classrel, figure.unit),
            "" if figure.other is None else _shown(figure.other, figure.unit),
            _ratio(figure),
            bound.text if bound else "",
            ("holds" if bound.holds(figure) else "misses") if bound else "",
        )
    width = None if sys.stdout.isatty() else 150
    Console(width=width, highlight=False).print(columns)
    sys.stdout.flush()


def narrate(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ratio(figure: Figure) -> str:
    if figure.other is None:
        return ""
    if figure.unit == "s" and figure.ratio < 0.5:
        return f"{1 / figure.ratio:.1f}× faster"
    return f"{figure.ratio:.2f}×"


def _shown(value: float, unit: str) -> str:
    factor, digits, suffix = _UNITS[unit]
    return f"{value * factor:,.{digits}f}{suffix}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
