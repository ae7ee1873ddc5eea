"""A Ward tree of C random rows of D: ``classrel`` or ``scipy``, seconds from the rows to the tree.

Their leaves are put in order by neither: scipy's optimal order takes hours there, and ours is timed apart.
"""

import json
import sys
import time

import numpy as np

who, n, dim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
groups = random.standard_normal((n // 20, dim), dtype=np.float32)
rows = groups[random.integers(0, len(groups), n)] + random.standard_normal(
    (n, dim), dtype=np.float32
)
rows -= rows.mean(axis=1, keepdims=True)
rows /= rows.std(axis=1, ddof=1, keepdims=True)
started = time.perf_counter()
if who == "classrel":
    from classrel_db.maths.trees.linkage import distances, link, projected_order
    from classrel_db.maths.trees.tree import tree_of

    Z = link(distances(rows, "chord"), "ward")
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    projected_order(tree_of(Z), rows)
    ordering = time.perf_counter() - started
else:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    U = rows.astype(np.float64)
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    Z = linkage(pdist(U), "ward")
    seconds, ordering = time.perf_counter() - started, 0.0
print(json.dumps({"seconds": seconds, "ordering": ordering, "heights": float(Z[:, 2].sum())}))
