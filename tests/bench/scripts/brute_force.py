"""Seconds that FAISS takes to hold every class of a head against every other, from a sample of them.

argv: the head, the database it was ingested into, its model. Prints as JSON the seconds, extrapolated from
the sample, and what share of the 10 true neighbours of the sample is among the first 10 that are stored.
"""

import json
import sys
import time

import duckdb
import faiss
import numpy as np
from safetensors.numpy import load_file

SAMPLE = 1_000

rows = load_file(sys.argv[1])["fc.weight"]
for start in range(0, len(rows), 65_536):
    part = rows[start : start + 65_536]
    part -= part.mean(axis=1, keepdims=True)
    part /= np.linalg.norm(part, axis=1, keepdims=True)
asked = np.sort(np.random.default_rng(7).choice(len(rows), min(SAMPLE, len(rows)), replace=False))
index = faiss.IndexFlatIP(rows.shape[1])
index.add(rows)
started = time.perf_counter()
_cosines, found = index.search(rows[asked], 51)
seconds = (time.perf_counter() - started) * len(rows) / len(asked)

connection = duckdb.connect(sys.argv[2], read_only=True)
stored = connection.execute(
    """
    SELECT n.class_idx, n.neighbor_idx FROM neighbors AS n JOIN models AS m USING (model_id)
    WHERE m.name = $name AND n.rank <= 10 AND n.class_idx IN (SELECT unnest($asked))
    """,
    {"name": sys.argv[3], "asked": asked.tolist()},
).fetchall()
neighbors = {}
for one, other in stored:
    neighbors.setdefault(one, set()).add(other)
hits = [
    len(neighbors[int(one)] & {int(other) for other in others[others != one][:10]})
    for one, others in zip(asked, found, strict=True)
]
print(json.dumps({"seconds": seconds, "recall": float(np.mean(hits)) / 10}))
