"""Median seconds of Catalog.similar over all models of a DATABASE, another class each time, as JSON."""

import json
import statistics
import sys
import time

import classrel_db
from classrel_db.sources.labels import imagenet1k

LABELS = ("Dungeness crab", "king crab", "tench", "goldfish", "hammerhead", "brambling", "jay")
assert set(LABELS) <= set(imagenet1k().labels)
taken = []
with classrel_db.open(sys.argv[1]) as catalog:
    catalog.similar("volcano", k=10).fetchall()
    for label in LABELS:
        before = time.perf_counter()
        catalog.similar(label, k=10).fetchall()
        taken.append(time.perf_counter() - before)
print(json.dumps(statistics.median(taken)))
