"""(h) Comparing models: all pairs of a hundred, the Mantel test, and whether the intervals hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import answer, classrel
from tests.bench.report import Bound, Figure, at_most, below, times_faster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SEEDS = 200


def figures(work: Path) -> Iterator[Figure]:
    for method, (ours, theirs) in answer("mantel_times").items():
        yield Figure(
            f"Mantel test, {method}, 1,000 classes, 999 permutations; scikit-bio's",
            "s",
            ours,
            theirs,
            at_most(1),
        )

    fixtures.make("many", work)
    database, written = work / "many.duckdb", work / "agreement.csv"
    all_pairs = classrel("--db", database, "compare", "--all", "--output", written)
    other = answer("rsatoolbox_compare", database, written)
    yield Figure(
        f"compare --all, rsa-spearman, {fixtures.MANY} models × 1,000 classes; rsatoolbox's compare alone",
        "s",
        all_pairs.seconds,
        other["seconds"],
        times_faster(5),
    )
    yield Figure("its peak memory", "GB", all_pairs.peak_bytes, bound=below(4e9, "GB"))
    again = classrel("--db", database, "compare", "--all", "--output", written)
    yield Figure("the same again, of which nothing is missing", "s", again.seconds)
    named = classrel("--db", database, "compare", "model000", "model001", "--format", "json")
    yield Figure("compare of two, every measure, interval and p", "s", named.seconds)

    for measure, share in answer("coverage", str(_SEEDS)).items():
        yield Figure(
            f"95 % intervals of a random head against a real one that cover the null, {_SEEDS} seeds: "
            f"{measure}",
            "%",
            share,
            bound=Bound("92 to 98 %", lambda figure: 0.92 <= figure.classrel <= 0.98),
        )
