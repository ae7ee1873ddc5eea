"""Median seconds of one warm answer: DATABASE CALLS; printed as JSON.

The sides take turns call by call. The bare SQL has a connection of its own to the same file.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import duckdb

from classrel_db.catalog import Catalog
from queries import NEAREST

database, calls = Path(sys.argv[1]), int(sys.argv[2])
MODEL, CLASS, INDEX, K = "efficientnet_lite0", "Dungeness crab", 118, 25

catalog = Catalog(database)
plain = duckdb.connect(str(database), read_only=True)
((model_id,),) = plain.execute("SELECT model_id FROM models WHERE name = ?", [MODEL]).fetchall()
plain.execute(f"PREPARE nearest AS {NEAREST}")
labels = [label for (label,) in plain.execute(
    "SELECT label FROM classes WHERE model_id = ? ORDER BY class_idx", [model_id]
).fetchall()]  # fmt: skip
# a label that two classes share would be an error of its own; those classes are asked by index
unique = {label: labels.count(label) == 1 for label in labels}

sides = {
    "classrel": lambda _: catalog.similar(CLASS, models=MODEL, k=K).fetchall(),
    "prepared": lambda _: plain.execute(f"EXECUTE nearest({model_id}, {INDEX}, {K})").fetchall(),
    "bound": lambda _: plain.execute(NEAREST, [model_id, INDEX, K]).fetchall(),
    "classrel, another class each": lambda turn: catalog.similar(
        labels[turn % 1000] if unique[labels[turn % 1000]] else str(turn % 1000), models=MODEL, k=K
    ).fetchall(),
    "prepared, each": lambda turn: plain.execute(
        f"EXECUTE nearest({model_id}, {turn % 1000}, {K})"
    ).fetchall(),
}
answers = {name: ask(INDEX) for name, ask in sides.items()}
assert all(rows == answers["prepared"] for rows in answers.values()), answers

seconds: dict[str, list[float]] = {name: [] for name in sides}
order = list(sides)
for turn in range(calls + 20):
    for name in order:
        started = time.perf_counter()
        sides[name](turn)
        if turn >= 20:
            seconds[name].append(time.perf_counter() - started)
    order.reverse()
print(json.dumps({name: statistics.median(taken) for name, taken in seconds.items()}))
