"""Bare Python, duckdb and the query: what a cold answer costs at the least."""

import sys

import duckdb

from queries import NEAREST

connection = duckdb.connect(sys.argv[1], read_only=True)
for _model, _label, rank, neighbor, _concept, cosine, euclidean in connection.execute(
    NEAREST, [2, 118, 25]
).fetchall():
    print(rank, neighbor, cosine, euclidean)
