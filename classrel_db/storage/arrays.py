"""What leaves or enters the database as arrays: apart from ``read``, which must not wait for numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from classrel_db.storage import read
from classrel_db.storage.arrow import column, numbers, text_lists, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.records import StoredModel

_ROWS_A_BLOCK = 8_192
_NEIGHBORS_A_BLOCK = 1 << 20


def rows(connection: DuckDBPyConnection, model: StoredModel) -> NDArray[np.float32]:
    """The normalised rows of one model, C×D. Raises ValueError where they differ in length."""
    table = connection.sql(
        "SELECT vector FROM weights WHERE model_id = $id ORDER BY class_idx",
        params={"id": model.model_id},
    ).to_arrow_table()
    vectors = table.column(0).combine_chunks()
    values = np.frombuffer(vectors.flatten().buffers()[1], dtype=np.float32)
    lengths = np.diff(np.frombuffer(vectors.buffers()[1], dtype=np.int32)[: len(vectors) + 1])
    if (lengths != model.dim).any():
        raise ValueError(
            f"the rows have {lengths.min()} to {lengths.max()} values, not {model.dim}"
        )
    matrix: NDArray[np.float32] = values.reshape(len(vectors), -1)
    return matrix


def rows_at(
    connection: DuckDBPyConnection, model: StoredModel, indices: Sequence[int]
) -> NDArray[np.float32]:
    """The normalised rows of some classes, n×D, in the order given. Raises ValueError where one is gone."""
    table = connection.sql(
        # not list_contains: by a join DuckDB reads the rows in question only
        f"""
        SELECT class_idx, vector FROM weights
        WHERE model_id = {model.model_id:d} AND class_idx IN (SELECT unnest($indices))
        """,  # noqa: S608
        params={"indices": list(indices)},
    ).to_arrow_table()
    found, rows = _rows_of(table.combine_chunks().to_batches(), model)
    order = np.argsort(found)
    places = np.searchsorted(found[order], indices)
    if len(found) < len(set(indices)):
        raise ValueError(f"{len(set(indices)) - len(found)} rows are missing")
    matrix: NDArray[np.float32] = rows[order[places]]
    return matrix


def row_blocks(
    connection: DuckDBPyConnection, model: StoredModel
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The normalised rows of one model by their indices, some at a time: (n,) and n×D.

    Raises ValueError where they differ in length.
    """
    batches = connection.sql(
        "SELECT class_idx, vector FROM weights WHERE model_id = $id",
        params={"id": model.model_id},
    ).to_arrow_reader(_ROWS_A_BLOCK)
    for batch in batches:
        yield _rows_of([batch], model)


def _rows_of(
    batches: Sequence[pa.RecordBatch], model: StoredModel
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The columns class_idx and vector."""
    if not batches:
        return np.empty(0, dtype=np.int64), np.empty((0, model.dim), dtype=np.float32)
    (batch,) = batches
    indices, vectors = batch.column(0), batch.column(1)
    if not len(batch) or len(vectors.flatten()) != len(batch) * model.dim:
        raise ValueError(f"not all rows have {model.dim} values")
    values = np.asarray(vectors.flatten(), dtype=np.float32)
    return np.asarray(indices, dtype=np.int64), values.reshape(len(batch), model.dim)


def pair_cosines(connection: DuckDBPyConnection, model: StoredModel) -> NDArray[np.float32] | None:
    """The stored cosines of every pair a < b (C(C-1)/2,), by a and then b; None where not all are stored."""
    every = model.n_classes * (model.n_classes - 1) // 2
    if model.n_pairs != every:
        return None
    table = connection.sql(
        "SELECT cosine FROM pairs WHERE model_id = $id ORDER BY a, b",
        params={"id": model.model_id},
    ).to_arrow_table()
    if len(table) != every:  # the model may be gone
        return None
    parts = table.column(0).chunks
    found: NDArray[np.float32] = np.concatenate(
        [np.frombuffer(part.buffers()[1], np.float32)[: len(part)] for part in parts]
    )
    return found


def center(connection: DuckDBPyConnection, model_id: int) -> NDArray[np.float64] | None:
    """What ``center`` subtracted from every row of the model (D,), or None."""
    ((values,),) = connection.execute(
        "SELECT center FROM models WHERE model_id = ?", [model_id]
    ).fetchall()
    return None if values is None else np.asarray(values, dtype=np.float64)


def norms(connection: DuckDBPyConnection, model_id: int) -> NDArray[np.float64]:
    """The norm of each stored row (C,)."""
    found = connection.execute(
        "SELECT norm FROM classes WHERE model_id = ? ORDER BY class_idx", [model_id]
    ).fetchnumpy()
    return np.asarray(found["norm"], dtype=np.float64)


class Names:
    """The names of all classes of one model, to find those that may be meant without reading a million."""

    def __init__(self, connection: DuckDBPyConnection, model_id: int) -> None:
        found = connection.execute(
            """
            SELECT hash(lower(nfc_normalize(label))) AS label, hash(lower(concept)) AS concept, class_idx
            FROM classes WHERE model_id = ?
            """,
            [model_id],
        ).fetchnumpy()
        self._hashes = (found["label"], found["concept"])
        self._indices = found["class_idx"]

    def candidates(self, connection: DuckDBPyConnection, text: str) -> list[int]:
        """The indices of the classes of that label or concept, but for case; and ``text`` as an index."""
        wanted = connection.execute(
            "SELECT hash(lower(nfc_normalize($text))), hash(lower($text))", {"text": text}
        ).fetchall()
        same = [hashes == one for hashes, one in zip(self._hashes, wanted[0], strict=True)]
        found: list[int] = self._indices[same[0] | same[1]].tolist()
        is_index = text.isascii() and text.isdigit() and len(text) < 10
        return [*found, *([int(text)] if is_index else [])]


def row_statistics(connection: DuckDBPyConnection, model_id: int) -> dict[str, NDArray[np.float64]]:
    """The mean and std of each raw row, the norm of the stored one, and its scale: (C,) each."""
    found: dict[str, NDArray[np.float64]] = connection.execute(
        "SELECT mean, std, norm, scale FROM classes WHERE model_id = ? ORDER BY class_idx",
        [model_id],
    ).fetchnumpy()
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}


def stored_neighbors(
    connection: DuckDBPyConnection, model: StoredModel, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The stored neighbours of every class, as stored: (indices C×k, cosines C×k).

    Raises ValueError where there are not C·k of them, with ranks from 1 to k for each class and
    indices of classes that exist.
    """
    found = connection.execute(
        """
        SELECT class_idx, rank, neighbor_idx, cosine FROM neighbors
        WHERE model_id = ? ORDER BY class_idx, rank
        """,
        [model.model_id],
    ).fetchnumpy()
    shape = (model.n_classes, k)
    expected = (np.repeat(np.arange(shape[0]), k), np.tile(np.arange(1, k + 1), shape[0]))
    if len(found["rank"]) != shape[0] * k or not (
        np.array_equal(found["class_idx"], expected[0])
        and np.array_equal(found["rank"], expected[1])
    ):
        raise ValueError(f"not every class has the ranks 1 to {k} once")
    indices = np.asarray(found["neighbor_idx"], dtype=np.int64)
    if indices.min() < 0 or indices.max() >= model.n_classes:
        raise ValueError("a neighbour is no class of the model")
    return indices.reshape(shape), np.asarray(found["cosine"], dtype=np.float32).reshape(shape)


def neighbor_blocks(
    connection: DuckDBPyConnection, model: StoredModel
) -> Iterator[dict[str, NDArray[Any]]]:
    """The stored neighbours of all classes, some at a time, as they lie there: the columns class_idx, rank,
    neighbor_idx and cosine."""
    batches = connection.sql(
        "SELECT class_idx, rank, neighbor_idx, cosine FROM neighbors WHERE model_id = $id",
        params={"id": model.model_id},
    ).to_arrow_reader(_NEIGHBORS_A_BLOCK)
    for batch in batches:
        yield {name: np.asarray(batch.column(name)) for name in batch.schema.names}


def stored_cosines(
    connection: DuckDBPyConnection, model: StoredModel, class_idx: int
) -> NDArray[np.float32]:
    """The cosines of one class with every other from ``pairs`` (C,), NaN where there is none.

    Raises ValueError where a pair is with no class of the model.
    """
    found = connection.execute(
        """
        SELECT b AS other, cosine FROM pairs WHERE model_id = $id AND a = $class
        UNION ALL SELECT a, cosine FROM pairs WHERE model_id = $id AND b = $class
        """,
        {"id": model.model_id, "class": class_idx},
    ).fetchnumpy()
    others = np.asarray(found["other"], dtype=np.int64)
    if len(others) and (others.min() < 0 or others.max() >= model.n_classes):
        raise ValueError("a pair is with no class of the model")
    cosines = np.full(model.n_classes, np.nan, dtype=np.float32)
    cosines[others] = found["cosine"]
    return cosines


class Answer(NamedTuple):
    """The classes of one model that a vector search found: (k,) each, nearest first."""

    model: StoredModel
    indices: NDArray[np.int64]
    cosines: NDArray[np.float32]
    distances: NDArray[np.float64]


def answers(
    connection: DuckDBPyConnection, asked: str, found: Sequence[Answer]
) -> DuckDBPyRelation:
    """What a vector search found in each model, with the columns of the ``neighbors`` macro."""
    import pyarrow as pa

    tables = []
    for model, indices, cosines, distances in found:
        named = read.labels_at(connection, model.model_id, indices.tolist())
        n = len(indices)
        columns = {
            "model": texts([model.name] * n),
            "class": texts([asked] * n),
            "rank": column(np.arange(1, n + 1, dtype=np.int32)),
            "neighbor": texts([label for label, _ in named]),
            "neighbor_concept": texts([concept for _, concept in named]),
            "cosine": column(cosines),
            "euclidean": column(distances.astype(np.float32)),
        }
        tables.append(pa.Table.from_arrays(list(columns.values()), names=list(columns)))
    return connection.from_arrow(pa.concat_tables(tables))


def with_shares(
    connection: DuckDBPyConnection,
    rows: DuckDBPyRelation,
    shares: Mapping[str, Sequence[float | None]],
) -> DuckDBPyRelation:
    """The same rows with a DOUBLE column more for each of ``shares``."""

    table = rows.to_arrow_table()
    for name, values in shares.items():
        table = table.append_column(name, numbers(values, "float64"))
    return connection.from_arrow(table)


def listing(columns: Mapping[str, Sequence[str]]) -> DuckDBPyRelation:
    """Rows of text from columns of text; they need no database."""
    import duckdb
    import pyarrow as pa

    arrays = [texts(values) for values in columns.values()]
    return duckdb.connect().from_arrow(pa.Table.from_arrays(arrays, names=list(columns)))


def table(columns: Mapping[str, tuple[str, Sequence[Any] | NDArray[Any]]]) -> DuckDBPyRelation:
    """Rows from columns, each with DuckDB's type and its values, None for NULL; they need no database."""
    import duckdb
    import pyarrow as pa

    made: dict[str, Callable[[Any], Any]] = {
        "VARCHAR": texts,
        "VARCHAR[]": text_lists,
        "BOOLEAN": lambda values: numbers(values, "bool"),
        "INTEGER": lambda values: numbers(values, "int32"),
        "BIGINT": lambda values: numbers(values, "int64"),
        "FLOAT": lambda values: numbers(values, "float32"),
        "DOUBLE": lambda values: numbers(values, "float64"),
    }
    arrays = [made[kind](values) for kind, values in columns.values()]
    return duckdb.connect().from_arrow(pa.Table.from_arrays(arrays, names=list(columns)))


def kept(rows: DuckDBPyRelation) -> DuckDBPyRelation:
    """The same rows, computed now and held in memory apart from the database they came from."""
    import duckdb

    return duckdb.connect().from_arrow(rows.to_arrow_table())
