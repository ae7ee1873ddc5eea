"""One model as a folder of Parquet files, on its way from who computed it to the database.

``model.parquet`` is written last and takes its name at once: where it is, the folder is whole.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, fields
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import DatabaseError
from classrel_db.records import KnownHead, LabelSpace, Step, StoredModel
from classrel_db.storage import write
from classrel_db.storage.arrow import column, row_lists, text_lists, texts
from classrel_db.storage.index import IndexCache
from classrel_db.storage.read import STORED_NEIGHBORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import Progress

    Columns = Mapping[str, pa.Array]

_COLUMNS = {
    "classes": "class_idx, label, concept, bias, mean, std, norm, scale",
    "weights": "class_idx, vector",
    "pairs": "a, b, cosine",
    "neighbors": "class_idx, rank, neighbor_idx, cosine",
}
_MODEL = "model.parquet"
_ROW_GROUP = 1 << 20  # rows
_GROUPS_AT_ONCE = 4  # an insert's fixed cost is lost in them


def pack(
    folder: Path,
    model: StoredModel,
    center: NDArray[np.float64] | None,
    others: tuple[str, ...],
    tables: Mapping[str, Iterable[Columns]],
) -> None:
    """Write one model into an empty folder; the same model gives the same bytes.

    ``center`` is (D,) or None, ``others`` are the heads beside this one. ``tables`` holds the columns of
    ``classes``, ``weights``, ``pairs`` and ``neighbors``, block by block, in the order of their rows.
    """
    for table in _COLUMNS:
        _write(folder / f"{table}.parquet", tables[table])
    values = {**asdict(model), "center": center, "others": others}
    unfinished = folder / f"{_MODEL}.partial"
    _write(unfinished, [{name: _cell(value) for name, value in values.items()}])
    unfinished.replace(folder / _MODEL)


class Packed:
    """A model in such a folder, as ``catalog.ingest.Made``: it can be stored."""

    def __init__(
        self,
        folder: Path,
        model: StoredModel,
        center: NDArray[np.float64] | None,
        space: LabelSpace,
        others: tuple[str, ...],
    ) -> None:
        self._folder = folder
        self._center = center
        self.model = model
        self.space = space
        self.others = others

    @property
    def known(self) -> KnownHead | None:
        """What tells whether its server still has the very same head; None where nothing does."""
        etag = self.model.etag
        if not etag or etag.startswith(
            "W/"
        ):  # which stays the same for files that are only about the same
            return None
        return KnownHead(etag, self.model.head_key, self.space.labels, self.space.concepts)

    @classmethod
    def open(cls, folder: Path) -> Packed | None:
        """What is in ``folder``; None where it is not whole."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            (row,) = parquet.read_table(folder / _MODEL, memory_map=True).to_pylist()
            model = StoredModel(**{field.name: row[field.name] for field in fields(StoredModel)})
            counted = {
                table: parquet.read_metadata(folder / f"{table}.parquet").num_rows
                for table in _tables_of(model)
            }
            named = parquet.read_table(folder / "classes.parquet", columns=["label", "concept"])
        except (OSError, ValueError, KeyError, pa.ArrowException):
            return None
        if counted != _tables_of(model):
            return None
        labels, concepts = (tuple(named.column(name).to_pylist()) for name in named.column_names)
        center = None if row["center"] is None else np.asarray(row["center"])
        space = LabelSpace(model.label_space, labels, concepts)
        return cls(folder, model, center, space, tuple(row["others"]))

    def write(
        self, connection: DuckDBPyConnection, model_id: int, progress: Progress
    ) -> StoredModel:
        """Write all of its rows, and return that of ``models``. The caller holds the transaction."""
        model = replaced(self.model, model_id=model_id)
        for table in _tables_of(model):
            path = self._folder / f"{table}.parquet"
            for rows, of in _append(connection, table, model_id, path):
                if table == "pairs":
                    progress(Step(model.name, "pairs", rows, of))
        progress(Step(model.name, "neighbors", model.n_classes, model.n_classes))
        write.insert_model(connection, model, self._center)
        return model

    def put_index(self, indexes: IndexCache) -> None:
        """Move the index file of a head that was stored to the others; it is a cache, and may be missing."""
        key = self.model.rows_sha256
        with suppress(OSError):
            indexes.folder.mkdir(exist_ok=True)
            IndexCache(self._folder).path(key).replace(indexes.path(key))


def _append(
    connection: DuckDBPyConnection, table: str, model_id: int, path: Path
) -> Iterator[tuple[int, int]]:
    """Insert the rows of a file in their order; so many of all, time and again.

    DuckDB can read the file alone, but all of it in one statement, which Ctrl-C does not end.
    """
    rows = 0
    for incoming, of in _groups(path):
        connection.execute(  # DuckDB finds the local variable by its name
            f"INSERT INTO {table} (model_id, {_COLUMNS[table]}) "  # noqa: S608
            f"SELECT {model_id:d}, {_COLUMNS[table]} FROM incoming"
        )
        rows += len(incoming)
        yield rows, of


def _groups(path: Path) -> Iterator[tuple[pa.Table, int]]:
    """The row groups of a file, some at a time, and how many rows it has. Raises DatabaseError."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            for first in range(0, file.num_row_groups, _GROUPS_AT_ONCE):
                groups = range(first, min(first + _GROUPS_AT_ONCE, file.num_row_groups))
                yield file.read_row_groups(groups), file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DatabaseError(
            f"{path} is damaged: {error}; run this again, and its model is computed anew"
        ) from error


def _tables_of(model: StoredModel) -> dict[str, int]:
    """How many rows of each table a model has; without pairs there is no file of them."""
    n = model.n_classes
    rows = {
        "classes": n,
        "weights": n,
        "pairs": model.n_pairs,
        "neighbors": n * min(STORED_NEIGHBORS, n - 1),
    }
    return {table: count for table, count in rows.items() if count}


def _write(path: Path, blocks: Iterable[Columns]) -> None:
    """The blocks as one file; none where there are none."""
    import pyarrow as pa
    from pyarrow import parquet

    file = None
    try:
        for columns in blocks:
            block = pa.Table.from_arrays(list(columns.values()), names=list(columns))
            if file is None:
                file = parquet.ParquetWriter(
                    path,
                    block.schema,
                    compression="zstd",
                    use_dictionary=["a", "class_idx"],  # which repeat
                    write_statistics=False,
                    store_schema=False,
                )
            file.write_table(block, row_group_size=_ROW_GROUP)
    finally:
        if file is not None:
            file.close()


def _cell(value: Any) -> pa.Array:
    """A column of one row."""
    if isinstance(value, np.ndarray):
        return row_lists(value[np.newaxis])
    if isinstance(value, tuple):
        return text_lists([value])
    if value is None or isinstance(value, str):
        return texts([value])
    return column(np.asarray([value]))
