"""The number of pairs in a database and the sum of their absolute cosines, as JSON."""

import json
import sys

import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)
print(json.dumps(connection.execute("SELECT count(*), sum(abs(cosine)) FROM pairs").fetchone()))
