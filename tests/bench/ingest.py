"""(b) One real head into a fresh database, against a script that writes the same by hand."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import ChildError, alternate, answer, classrel, median_seconds, script
from tests.bench.report import Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.measure import Run

_REPETITIONS = 11


def figures(work: Path) -> Iterator[Figure]:
    fixtures.make("head", work)
    head, labels = work / "head.safetensors", work / "labels.csv"
    fresh = (work / f"{number}.duckdb" for number in count())

    def ours() -> Run:
        return classrel("ingest", head, "--labels", labels, "--db", next(fresh))

    def floor(mode: str) -> Callable[[], Run]:
        return lambda: script("ingest_floor", head, labels, next(fresh), mode)

    _require_same_pairs(ours, floor("pairs"), work)
    runs = alternate(
        {"ours": ours, "floor": floor("pairs"), "both": floor("pairs+neighbors")}, _REPETITIONS
    )
    what = "classrel ingest of a 1000×1280 head, cold; floor: numpy and duckdb write weights, pairs"
    seconds = {name: median_seconds(done) for name, done in runs.items()}
    yield Figure(what, "s", seconds["ours"], seconds["floor"], at_most(1.6))
    yield Figure("the same; floor: and the 100 nearest", "s", seconds["ours"], seconds["both"])


def _require_same_pairs(ours: Callable[[], Run], floor: Callable[[], Run], work: Path) -> None:
    ours()
    floor()
    (n, total), (n_floor, total_floor) = (
        answer("pair_sums", work / f"{number}.duckdb") for number in (0, 1)
    )
    if n != n_floor or abs(total - total_floor) > 1e-6 * n:
        raise ChildError(f"the two sides differ: {n} pairs of {total}, {n_floor} of {total_floor}")
