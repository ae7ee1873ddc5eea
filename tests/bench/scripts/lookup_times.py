"""Median seconds of one lookup in a warm process: argv is the database and the model, labelled as
``clustered_head`` does. By label, by index and by a sum of two classes, as JSON."""

import json
import statistics
import sys
import time

import classrel_db

catalog, model = classrel_db.open(sys.argv[1]), sys.argv[2]
((classes,),) = catalog.sql(
    "SELECT n_classes FROM models WHERE name = $name", {"name": model}
).fetchall()
found = {}
for what, asked in {
    "by label": lambda number: f"identity {number:08d}",
    "by index": lambda number: number,
    "by a sum": lambda number: f"identity {number:08d} + identity {classes // 2:08d}",
}.items():
    seconds = []
    for turn in range(23):
        query = asked(1 + 7_919 * turn % (classes // 3))
        started = time.perf_counter()
        rows = catalog.similar(query, models=model, k=50).fetchall()
        seconds.append(time.perf_counter() - started)
        assert len(rows) == 50
    found[what] = statistics.median(seconds[3:])  # the first ones warm up
print(json.dumps(found))
