"""Seconds in which the writer stood idle although a head was ready: ADDRESS, N, new DATABASE, JOBS.

Prints them with the seconds of writing and of the whole, as JSON.
"""

import json
import sys
import time

import classrel_db
from classrel_db.catalog import batch, crews

address, count, database, jobs = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
events: list[tuple[float, int, int]] = []  # when, heads ready, writers at work
prepare, store, put_index = crews.Threads._prepare, batch.store, batch.put_index


def timed_prepare(self, job):
    prepared = prepare(self, job)
    events.append((time.perf_counter(), 1, 0))
    return prepared


def timed_store(*arguments):
    events.append((time.perf_counter(), -1, 1))
    answer = store(*arguments)
    events.append((time.perf_counter(), 0, -1))
    return answer


def timed_index(*arguments):
    events.append((time.perf_counter(), 0, 1))  # the index beside the database is the writer's, too
    put_index(*arguments)
    events.append((time.perf_counter(), 0, -1))


crews.Threads._prepare = timed_prepare
batch.store, batch.put_index = timed_store, timed_index
begun = time.perf_counter()
specs = [f"{address}/head{number:03d}.safetensors" for number in range(count)]
with classrel_db.open(database) as catalog:
    catalog.ingest(*specs, labels="imagenet1k", jobs=jobs)
whole = time.perf_counter() - begun
idle = writing = before = 0.0
ready = writers = 0
for when, heads, working in sorted(events):
    idle += (when - before) * (ready > 0 and not writers)
    writing += (when - before) * (writers > 0)
    ready, writers, before = ready + heads, writers + working, when
print(json.dumps({"idle": idle, "writing": writing, "whole": whole}))
