"""What scipy's spearmanr takes for every two models of a DATABASE, from some couples of them, as JSON.

It must give the numbers of the column `estimate` of the WRITTEN csv file. The seconds of those couples are
multiplied by how many there are; reading the cosines is not counted.
"""

import csv
import json
import sys
import time

import duckdb
import numpy as np
from scipy.stats import spearmanr

database, written = sys.argv[1:]
COUPLES = 6
with open(written, encoding="utf-8") as file:
    estimates = {(r["model_a"], r["model_b"]): float(r["estimate"]) for r in csv.DictReader(file)}
connection = duckdb.connect(database, read_only=True)


def cosines(model: str) -> np.ndarray:
    rows = connection.execute(
        "SELECT cosine FROM pairs JOIN models USING (model_id) WHERE name = ? ORDER BY a, b",
        [model],
    )
    return np.asarray(rows.fetchnumpy()["cosine"], dtype=np.float64)


some = np.random.default_rng(0).choice(len(estimates), COUPLES, replace=False)
listed = list(estimates)
seconds = 0.0
for place in some.tolist():
    x, y = map(cosines, listed[place])
    before = time.perf_counter()
    expected = spearmanr(x, y).statistic
    seconds += time.perf_counter() - before
    if abs(expected - estimates[listed[place]]) > 1e-9:
        sys.exit(f"{listed[place]}: scipy has {expected}, not {estimates[listed[place]]}")
print(json.dumps(seconds / COUPLES * len(estimates)))
