"""Median seconds of a named query and of its bare SQL, warm: DATABASE QUESTION; printed as JSON.

QUESTION is a heading of bare_queries.sql, and what follows it there is the other side; they take
turns. Both must give the same columns and rows: floats to six digits, since sums over threads differ.
"""

import json
import math
import signal
import statistics
import sys
import time
from pathlib import Path

import duckdb

database, question = sys.argv[1:]
ROUNDS, SECONDS, PATIENCE = (3, 201), 5, 300

signal.alarm(PATIENCE)  # ends the process: a bad join order may take hours
text = Path(__file__).with_name("bare_queries.sql").read_text("utf-8")
_heading, _, bare = text.partition(f"\n-- {question}")[2].partition("\n")
sides = [question, bare.partition(";")[0]]
connection = duckdb.connect(database, read_only=True)


def differ(ours: object, theirs: object) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6)
    return ours != theirs


columns, rows = [], []
for side in sides:
    done = connection.execute(side)
    columns.append([name for name, *_ in done.description])
    rows.append(done.fetchall())
if columns[0] != columns[1] or not rows[0] or len(rows[0]) != len(rows[1]):
    sys.exit(f"the two sides differ: {columns}, {[len(answer) for answer in rows]} rows")
for ours, theirs in zip(*rows, strict=True):
    if any(map(differ, ours, theirs)):
        sys.exit(f"the two sides differ: {ours} and {theirs}")

seconds: list[list[float]] = [[], []]
started, order = time.perf_counter(), [0, 1]
while len(seconds[0]) < ROUNDS[0] or (
    len(seconds[0]) < ROUNDS[1] and time.perf_counter() - started < SECONDS
):
    for side in order:
        before = time.perf_counter()
        connection.execute(sides[side]).fetchall()
        seconds[side].append(time.perf_counter() - before)
    order.reverse()
print(json.dumps([statistics.median(taken) for taken in seconds]))
