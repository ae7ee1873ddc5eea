"""(c) The same question again in a process that has the database open, against the bare SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.measure import answer, classrel
from tests.bench.report import Figure, at_most, below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CALLS = 500


def figures(work: Path) -> Iterator[Figure]:
    database = work / "warm.duckdb"
    models = [f"efficientnet_lite{size}" for size in range(3)]
    classrel("ingest", *models, "--db", database)
    seconds = answer("warm_calls", database, str(_CALLS))
    ours, prepared, bound = (seconds[side] for side in ("classrel", "prepared", "bound"))
    call = "Catalog.similar(…, models=…, k=25).fetchall(), warm"
    yield Figure(f"{call}; other: the prepared SQL", "ms", ours, prepared, at_most(2))
    yield Figure(f"{call}; other: that SQL with bound values", "ms", ours, bound)
    yield Figure(call, "ms", ours, bound=below(5e-3, "ms"))
    rotating = seconds["classrel, another class each"]
    yield Figure("the same, another class each call", "ms", rotating, seconds["prepared, each"])
