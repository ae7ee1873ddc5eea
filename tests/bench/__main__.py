"""``python -m tests.bench [NAME…]``: ask the questions, print a table for each, exit 0.

A bench reports; whether a missed bound stops anything is for whoever reads it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    batch,
    cluster,
    cold,
    compare,
    ingest,
    large,
    many,
    pictures,
    queries,
    report,
    report_page,
    scale,
    shell,
    trees,
    warm,
)
from tests.bench import bytes as bytes_read
from tests.bench.measure import ChildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.report import Figure

QUESTIONS: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "cold": cold.figures,
    "ingest": ingest.figures,
    "warm": warm.figures,
    "large": large.figures,
    "bytes": bytes_read.figures,
    "batch": batch.figures,
    "cluster": cluster.figures,
    "queries": queries.figures,
    "shell": shell.figures,
    "compare": compare.figures,
    "trees": trees.figures,
    "report": report_page.figures,
    "pictures": pictures.figures,
}
"""By name, each a generator of figures that may fill the folder it is given."""

LONG: dict[str, Callable[[Path], Iterator[Figure]]] = {"many": many.figures, "scale": scale.figures}
"""Those that are asked by their name only."""


def main(wanted: list[str]) -> None:
    known = {**QUESTIONS, **LONG}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no question {', '.join(unknown)}; there are {', '.join(known)}")
        return
    report.machine()
    verdicts: list[bool] = []
    failed: list[str] = []
    for name in wanted or QUESTIONS:
        figures: list[Figure] = []
        try:
            with tempfile.TemporaryDirectory(prefix=f"classrel-bench-{name}-") as folder:
                for figure in known[name](Path(folder)):
                    report.narrate(f"{name}: {figure.what}")
                    figures.append(figure)
        except ChildError as error:
            print(f"{name}: not measured to the end: {error}")
            failed.append(name)
        report.table(name, figures)
        verdicts += [figure.bound.holds(figure) for figure in figures if figure.bound]
    unmeasured = f"; NOT MEASURED: {', '.join(failed)}" if failed else ""
    print(f"{sum(verdicts)} of {len(verdicts)} bounds hold{unmeasured}; {report.load()}")


main(sys.argv[1:])
