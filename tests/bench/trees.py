"""(i) Trees: linkage of large heads, support, and a model held against WordNet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.bench.measure import ChildError, answer, classrel, script
from tests.bench.report import Bound, Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHAPES = ((6_522, 1_024), (21_841, 512))
_MODELS = ("efficientnet_lite0", "efficientnet_lite2")


def figures(work: Path) -> Iterator[Figure]:
    database = work / "real.duckdb"
    classrel("--db", database, "ingest", *_MODELS)
    first = classrel("--db", database, "taxonomy", "compare", _MODELS[0], "wordnet")
    yield Figure(
        "taxonomy compare MODEL wordnet, the whole command: 999 permutations, 1,000 resamples",
        "s",
        first.seconds,
        bound=Bound("below 5 s", lambda figure: figure.classrel < 5),
    )
    tree = classrel("--db", database, "tree", _MODELS[0])
    yield Figure("tree MODEL, the first time: linkage and optimal leaf order", "s", tree.seconds)
    tree = classrel("--db", database, "tree", _MODELS[0])
    yield Figure("tree MODEL, from the database", "s", tree.seconds)
    compared = classrel("--db", database, "tree", "compare", *_MODELS)
    yield Figure("tree compare of two, every measure, p and null", "s", compared.seconds)

    ours, theirs = answer("tree_bootstrap")
    yield Figure(
        "support of 1,000 leaves by 100 resamples of 1,280 dimensions; a loop of scipy's linkage",
        "s",
        ours,
        theirs,
        at_most(1.5),
    )
    for n, dim in _SHAPES:
        matrix = 8 * n * (n - 1) // 2
        mine, yours = (script("tree_times", who, str(n), str(dim)) for who in ("classrel", "scipy"))
        ours, theirs = json.loads(mine.output), json.loads(yours.output)
        if abs(ours["heights"] / theirs["heights"] - 1) > 1e-6:
            raise ChildError(f"the two trees of {n} rows differ: {ours} and {theirs}")
        what = f"Ward tree of {n:,} × {dim:,}"
        yield Figure(f"{what}; scipy's", "s", ours["seconds"], theirs["seconds"], at_most(1.5))
        yield Figure(
            "its peak memory beyond the distances; scipy's",
            "GB",
            mine.peak_bytes - matrix,
            yours.peak_bytes - matrix,
            at_most(1.3),
        )
        yield Figure("its leaf order, by projection", "s", ours["ordering"])
