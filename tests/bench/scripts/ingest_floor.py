"""The floor of an ingest: HEAD.safetensors, LABELS.csv and a new DATABASE, by numpy and duckdb alone.

MODE is what is written besides the classes and the normalised rows: `pairs`, `neighbors` (an exact
top 100) or both, joined by `+`. float32 throughout, no transaction, no hash, no check, no index.
"""

import csv
import json
import sys

import duckdb
import numpy as np

head, labels, database, mode = sys.argv[1:]
BLOCK = 4_000_000  # products at a time

with open(head, "rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    tensors = {}
    for key in ("fc.weight", "fc.bias"):
        start, end = header[key]["data_offsets"]
        file.seek(8 + length + start)
        tensors[key] = np.frombuffer(bytearray(file.read(end - start)), dtype=np.float32)
rows = tensors["fc.weight"].reshape(header["fc.weight"]["shape"])
n, dim = rows.shape
rows -= rows.mean(axis=1, keepdims=True)
rows /= rows.std(axis=1, ddof=1, keepdims=True)
units = rows * np.float32(1 / np.sqrt(dim - 1))

with open(labels, encoding="utf-8", newline="") as file:
    named = [(row["label"], row["concept"]) for row in csv.DictReader(file)]

connection = duckdb.connect(database)
connection.execute(
    "CREATE TABLE classes (class_idx INT, label VARCHAR, concept VARCHAR, bias FLOAT)"
)
connection.execute("CREATE TABLE weights (class_idx INT, vector FLOAT[])")
every = np.arange(n, dtype=np.int32)

label, concept = (np.array(column, dtype=object) for column in zip(*named, strict=True))
columns = {"i": every, "label": label, "concept": concept, "bias": tensors["fc.bias"]}
connection.execute("INSERT INTO classes SELECT i, label, concept, bias FROM columns")

vectors = np.empty(n, dtype=object)
vectors[:] = list(rows)
columns = {"i": every, "vector": vectors}
connection.execute("INSERT INTO weights SELECT i, vector FROM columns")

if "pairs" in mode:
    connection.execute("CREATE TABLE pairs (model_id INT, a INT, b INT, cosine FLOAT)")
    step = max(1, BLOCK // n)
    for start in range(0, n, step):
        block = range(start, min(start + step, n))
        cosines = units[start : block.stop] @ units[start:].T
        columns = {
            "a": np.repeat(every[start : block.stop], [n - i - 1 for i in block]),
            "b": np.concatenate([every[i + 1 :] for i in block]),
            "cosine": np.concatenate([cosines[i - start, i - start + 1 :] for i in block]),
        }
        connection.execute("INSERT INTO pairs SELECT 1, a, b, cosine FROM columns")

if "neighbors" in mode:
    connection.execute(
        "CREATE TABLE neighbors (model_id INT, class_idx INT, rank INT, neighbor_idx INT, cosine FLOAT)"
    )
    step = max(1, BLOCK // n)
    ranks = np.arange(1, 101, dtype=np.int32)
    for start in range(0, n, step):
        block = every[start : start + step]
        cosines = units[block] @ units.T
        cosines[block - start, block] = -2  # not its own neighbour
        found = np.argpartition(cosines, n - 100, axis=1)[:, n - 100 :]
        best = np.take_along_axis(cosines, found, axis=1)
        order = np.argsort(-best, axis=1)
        columns = {
            "i": np.repeat(block, 100),
            "rank": np.tile(ranks, len(block)),
            "neighbor": np.take_along_axis(found, order, axis=1).astype(np.int32).reshape(-1),
            "cosine": np.take_along_axis(best, order, axis=1).reshape(-1),
        }
        connection.execute("INSERT INTO neighbors SELECT 1, i, rank, neighbor, cosine FROM columns")

connection.close()
