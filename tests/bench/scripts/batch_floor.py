"""The floors of a batch, one after the other: ADDRESS/headNNN.safetensors, N of them, to a new DATABASE.

Of each head: read (header and range, over one connection), normalise, matmul, write (weights, pairs, the 100
nearest, committed). float32 throughout, by http.client, numpy and duckdb alone; no hash, no check, no index.
Prints the seconds of each floor as JSON.
"""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

import duckdb
import numpy as np

address, count, database = sys.argv[1], int(sys.argv[2]), sys.argv[3]
spent = dict.fromkeys(("read", "normalise", "matmul", "write"), 0.0)
host = http.client.HTTPConnection(urlsplit(address).netloc)


def get(path, start, stop):
    host.request("GET", path, headers={"Range": f"bytes={start}-{stop - 1}"})
    return host.getresponse().read()


connection = duckdb.connect(database)
connection.execute("SET checkpoint_threshold = '1KB'")
connection.execute("CREATE TABLE weights (model_id INT, class_idx INT, vector FLOAT[])")
connection.execute("CREATE TABLE pairs (model_id INT, a INT, b INT, cosine FLOAT)")
connection.execute(
    "CREATE TABLE neighbors (model_id INT, class_idx INT, rank INT, neighbor_idx INT, cosine FLOAT)"
)
for number in range(count):
    begun = time.perf_counter()
    path = f"/head{number:03d}.safetensors"
    beginning = get(path, 0, 1 << 16)
    length = int.from_bytes(beginning[:8], "little")
    header = json.loads(beginning[8 : 8 + length])
    start, end = (8 + length + offset for offset in header["fc.weight"]["data_offsets"])
    rows = np.frombuffer(bytearray(get(path, start, end)), np.float32)
    rows = rows.reshape(header["fc.weight"]["shape"])
    n, dim = rows.shape
    spent["read"] += (read := time.perf_counter()) - begun
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= rows.std(axis=1, ddof=1, keepdims=True)
    spent["normalise"] += (normalised := time.perf_counter()) - read
    units = rows * np.float32(1 / np.sqrt(dim - 1))
    cosines = units @ units.T
    spent["matmul"] += (multiplied := time.perf_counter()) - normalised
    every = np.arange(n, dtype=np.int32)
    vectors = np.empty(n, dtype=object)
    vectors[:] = list(rows)
    connection.execute("BEGIN")
    columns = {"i": every, "vector": vectors}
    connection.execute(f"INSERT INTO weights SELECT {number}, i, vector FROM columns")
    a, b = np.triu_indices(n, 1)
    columns = {"a": a.astype(np.int32), "b": b.astype(np.int32), "cosine": cosines[a, b]}
    connection.execute(f"INSERT INTO pairs SELECT {number}, a, b, cosine FROM columns")
    np.fill_diagonal(cosines, -2)  # not its own neighbour
    found = np.argpartition(cosines, n - 100, axis=1)[:, n - 100 :]
    best = np.take_along_axis(cosines, found, axis=1)
    order = np.argsort(-best, axis=1)
    columns = {
        "i": np.repeat(every, 100),
        "rank": np.tile(np.arange(1, 101, dtype=np.int32), n),
        "neighbor": np.take_along_axis(found, order, axis=1).astype(np.int32).reshape(-1),
        "cosine": np.take_along_axis(best, order, axis=1).reshape(-1),
    }
    connection.execute(
        f"INSERT INTO neighbors SELECT {number}, i, rank, neighbor, cosine FROM columns"
    )
    connection.execute("COMMIT")
    spent["write"] += time.perf_counter() - multiplied
connection.close()
print(json.dumps(spent))
