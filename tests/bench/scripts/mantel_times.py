"""Median seconds of the Mantel test with 999 permutations, Pearson and Spearman.

Of two real heads, and of a real one and a random one. classrel's and scikit-bio's take turns; printed as
JSON, a list of both for each.
"""

import json
import statistics
import time

import numpy as np
from skbio.stats.distance import mantel

from classrel_db import sources
from classrel_db.maths import normalize
from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES, random_head

ROUNDS, PERMUTATIONS = 7, 999
real = [
    normalize(sources.load(sources.locate(f"efficientnet_lite{size}")).weight, "standardize").rows
    for size in (0, 2)
]
random = random_head(real[0].shape, "standardize", np.random.default_rng(0))


def ours(measure: str, rows: list[np.ndarray]) -> tuple[float, float]:
    # from the cosines on, as scikit-bio starts from distances
    heads = [Geometry(each) for each in rows]
    for head in heads:
        head.pairs  # noqa: B018
    started = time.perf_counter()
    judged = judge(
        MEASURES[measure],
        Pair(*heads, 25),
        permuted=PERMUTATIONS,
        resampled=0,
        seed=0,
        null_value=0.0,
    )
    return time.perf_counter() - started, judged.estimate


def theirs(method: str, rows: list[np.ndarray]) -> tuple[float, float]:
    distances = [1 - Geometry(each).cosine.astype(np.float64) for each in rows]
    for distance in distances:
        np.fill_diagonal(distance, 0.0)
    started = time.perf_counter()
    r, _p, _n = mantel(*distances, method=method, permutations=PERMUTATIONS, alternative="greater")
    return time.perf_counter() - started, float(r)


found = {}
for method in ("pearson", "spearman"):
    for what, rows in (("real heads", real), ("a real and a random head", [real[0], random])):
        taken = []
        for _ in range(ROUNDS):
            (mine, r), (yours, same) = ours(f"rsa-{method}", rows), theirs(method, rows)
            if abs(r - same) > 1e-6:
                raise SystemExit(f"the two sides differ: {r} and {same}")
            taken.append((mine, yours))
        found[f"{method}, {what}"] = [
            statistics.median(side) for side in zip(*taken[1:], strict=True)
        ]
print(json.dumps(found))
