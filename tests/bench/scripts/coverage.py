"""How many 95 % intervals of a random head against a real one cover the null: printed as JSON.

For each of SEEDS seeds a random part of a real head's classes is compared with a random head. The null
is the expectation; where it has no formula for a real head against a random one, the mean over the
seeds takes its place.
"""

import json
import sys

import numpy as np

from classrel_db import sources
from classrel_db.maths import normalize
from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES, random_head

seeds = int(sys.argv[1])
CLASSES, RESAMPLES, K = 120, 400, 10

real = normalize(sources.load(sources.locate("efficientnet_lite0")).weight, "standardize").rows
shape = (CLASSES, real.shape[1])
intervals: dict[str, list[tuple[float, float, float]]] = {name: [] for name in MEASURES}
for seed in range(seeds):
    random = np.random.default_rng([2_026, seed])
    classes = random.choice(len(real), CLASSES, replace=False)
    pair = Pair(Geometry(real[classes]), Geometry(random_head(shape, "standardize", random)), K)
    for name, measure in MEASURES.items():
        judged = judge(measure, pair, permuted=0, resampled=RESAMPLES, seed=seed, null_value=None)
        intervals[name].append((judged.low, judged.estimate, judged.high))
covered = {}
for name, found in intervals.items():
    null = MEASURES[name].exact_null(CLASSES, K)
    if null is None:
        null = float(np.mean([estimate for _, estimate, _ in found]))
    covered[name] = sum(low <= null <= high for low, _, high in found)
print(json.dumps({name: count / seeds for name, count in covered.items()}))
