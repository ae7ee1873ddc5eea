"""The bytes of a DATABASE's file and of its table of pairs, and the number of pairs, as JSON.

The table's bytes are the blocks that hold its columns' segments. No block holds two tables' columns
as long as each fills several; that is checked.
"""

import json
import os
import sys

import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)


def value(query: str):
    return connection.execute(query).fetchall()[0][0]


def blocks(table: str) -> set[int]:
    """The ids of the blocks in the file that hold values of ``table``."""
    rows = connection.execute(
        "SELECT block_id, additional_block_ids FROM pragma_storage_info(?) WHERE persistent",
        [table],
    ).fetchall()
    return {block for first, more in rows for block in (first, *(more or ())) if block >= 0}


tables = [
    name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
]
of_pairs = blocks("pairs")
assert not any(of_pairs & blocks(table) for table in tables if table != "pairs")
print(
    json.dumps(
        {
            "file": os.path.getsize(sys.argv[1]),
            "table": len(of_pairs) * value("SELECT block_size FROM pragma_database_size()"),
            "pairs": value("SELECT count(*) FROM pairs"),
        }
    )
)
