"""(d) A head of ImageNet-21k's size: seconds, memory and bytes, with its pairs and without."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import alternate, classrel, median_seconds, peak_bytes, script
from tests.bench.report import Figure, below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.measure import Run

_MEMORY = 3e9
_MODES = (  # --pairs, what the floor writes, repetitions
    ("auto", "neighbors", 3),
    ("all", "pairs", 2),
)


def figures(work: Path) -> Iterator[Figure]:
    fixtures.make("large", work)
    n_classes, dim = fixtures.LARGE
    for policy, mode, repetitions in _MODES:
        sizes: dict[str, int] = {}
        runs = alternate(
            {side: _measured(work, side, policy, mode, sizes) for side in ("classrel", "floor")},
            repetitions,
            warm_up=0,  # what it would warm is lost in runs this long
        )
        ours, floor = runs["classrel"], runs["floor"]
        what = f"{n_classes:,}×{dim} --pairs {policy}"
        yield Figure(
            f"{what}, cold; floor: numpy and duckdb write weights, {mode}",
            "s",
            median_seconds(ours),
            median_seconds(floor),
        )
        yield Figure(
            f"{what}: peak memory", "GB", peak_bytes(ours), peak_bytes(floor), below(_MEMORY, "GB")
        )
        yield Figure(f"{what}: database", "MB", sizes["classrel"], sizes["floor"])
        if policy == "all":
            pairs = n_classes * (n_classes - 1) // 2
            per_pair = [sizes[side] / pairs for side in ("classrel", "floor")]
            yield Figure(f"{what}: database by its pairs", "B/pair", *per_pair)


_numbers = count()


def _measured(
    work: Path, side: str, policy: str, mode: str, sizes: dict[str, int]
) -> Callable[[], Run]:
    """One side's run on a fresh database, which is deleted once its size is known."""
    head, labels = work / "large.safetensors", work / "labels.csv"

    def measured() -> Run:
        database = work / f"{next(_numbers)}.duckdb"
        try:
            if side == "floor":
                done = script("ingest_floor", head, labels, database, mode)
            else:
                done = classrel(
                    "ingest", head, "--labels", labels, "--pairs", policy, "--db", database
                )
            sizes[side] = database.stat().st_size
        finally:
            database.unlink(missing_ok=True)
        return done

    return measured
