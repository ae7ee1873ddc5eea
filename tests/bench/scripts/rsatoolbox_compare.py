"""Seconds of rsatoolbox's Spearman comparison of every two RDMs of DATABASE, held against ANSWER.

Only its ``compare`` is timed, not the reading. ANSWER is the csv that classrel has written.
"""

import csv
import json
import sys
import time
import warnings

import duckdb
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from rsatoolbox.rdm import RDMs, compare

database, written = sys.argv[1:]
connection = duckdb.connect(database, read_only=True)
names = [
    name for (name,) in connection.execute("SELECT name FROM models ORDER BY model_id").fetchall()
]
vectors = np.stack(
    [
        1
        - connection.execute(
            "SELECT cosine FROM pairs WHERE model_id = (SELECT model_id FROM models WHERE name = ?) "
            "ORDER BY a, b",
            [name],
        )
        .fetchnumpy()["cosine"]
        .astype(np.float64)
        for name in names
    ]
)
rdms = RDMs(vectors)
started = time.perf_counter()
found = compare(rdms, rdms, method="spearman")
seconds = time.perf_counter() - started
place = {name: number for number, name in enumerate(names)}
with open(written, encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
if len(rows) != len(names) * (len(names) - 1) // 2:
    raise SystemExit(f"{len(rows)} comparisons of {len(names)} models")
far = max(
    abs(float(row["estimate"]) - found[place[row["model_a"]], place[row["model_b"]]])
    for row in rows
)
if far > 1e-6:
    raise SystemExit(f"the two sides differ by {far}")
print(json.dumps({"seconds": seconds, "difference": far}))
