"""What leaves the database as Arrow tables, for files of other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.storage.arrow import row_lists

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import StoredModel


def classes(connection: DuckDBPyConnection, model: StoredModel) -> pa.Table:
    """What is known of the classes of one model, but for their rows, by class index."""
    return connection.sql(
        """
        SELECT m.name AS model, c.class_idx, c.label AS class, c.concept, c.bias, c.mean, c.std, c.norm,
               c.scale, m.normalization
        FROM classes AS c JOIN models AS m ON m.model_id = c.model_id
        WHERE c.model_id = $id ORDER BY c.class_idx
        """,
        params={"id": model.model_id},
    ).to_arrow_table()


def with_rows(table: pa.Table, name: str, rows: NDArray[np.float32]) -> pa.Table:
    """The table and, as its last column of lists, the rows of a matrix."""
    return table.append_column(name, row_lists(rows))


def with_neighbors(
    table: pa.Table, ids: NDArray[np.int64], distances: NDArray[np.float32]
) -> pa.Table:
    """The table and the column ``neighbors``, of two lists each: ids and distances (C×k)."""
    import pyarrow as pa

    lists = [row_lists(ids), row_lists(distances)]
    return table.append_column(
        "neighbors", pa.StructArray.from_arrays(lists, names=["ids", "distances"])
    )
