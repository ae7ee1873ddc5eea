"""Writing models of a database into a lake, each whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb

from classrel_db.errors import DatabaseError
from classrel_db.records import Step
from classrel_db.spelling import quoted
from classrel_db.storage import schema
from classrel_db.storage.lake_files import (
    CONTENT,
    DATA,
    EXTRAS,
    SHARED,
    TAXONOMIC,
    differs,
    faults,
    file_of,
    foreign,
    leftovers,
    literal,
    owner,
    plain,
    read_from,
    require_same_schema,
    shared_file,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from classrel_db.records import Progress, StoredModel
    from classrel_db.storage.lake_files import Shelf, Standing

_ROWS = 122_880  # of a row group, as in the database: what one class or one model needs of pairs is little
_NUMBERS = 1 << 22  # of a row group of weights: 16 MB
_VECTOR = 2_048  # the rows that DuckDB handles at once, of which a row group has a multiple
_ORDER = {
    "classes": "class_idx",
    "weights": "class_idx",
    "pairs": "a, b",
    "neighbors": "class_idx, rank",
}
# what models have in common is another thing in a lake of other models
_KEPT = {"clade_support": "WHERE kind <> 'models'"}
_LABELS = "(SELECT sha256(string_agg(label, chr(10) ORDER BY class_idx)) FROM classes WHERE model_id = {id})"


@dataclass(frozen=True, slots=True)
class Laid:
    """What an export did, by the models' names; ``places`` are their numbers in the lake."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)


def lay(
    reader: Callable[[], DuckDBPyConnection],
    shelf: Shelf,
    models: Sequence[StoredModel],
    tell: Progress,
) -> Laid:
    """Write ``models`` into the lake, and what their database holds beside them.

    A model that is there with the same content stays as it is, but for its tags and trees; another of its
    name is replaced: its files go with the next export, so that whoever reads them still can. A model keeps
    its number where the lake has no other of it. Raises DatabaseError (as LockedDatabaseError while another
    exports to this lake), SchemaError.
    """
    with shelf.exclusive() as work:
        return _Laying(reader, shelf, work).run(models, tell)


class _Laying:
    """One export."""

    def __init__(self, reader: Callable[[], DuckDBPyConnection], shelf: Shelf, work: Path) -> None:
        self._reader = reader
        self._shelf = shelf
        self._work = work
        self._entries = shelf.entries()
        self._names = set(self._entries)
        other = foreign(self._names)
        if other is not None:
            raise DatabaseError(
                f"{shelf.path} holds {quoted(other)}, which is not of a lake; name a new folder"
            )
        self._models, self._former = standing(shelf, self._names)
        require_same_schema(shelf, self._models, schema.newest())
        self._laid = Laid()
        self._written = 0

    def run(self, models: Sequence[StoredModel], tell: Progress) -> Laid:
        self._shelf.remove([file_of("models", one) for one in self._former])
        # those whose place others took without taking away the file itself stay until the next export, too
        strays = [
            name
            for name in leftovers(self._names, self._models)
            if (each := owner(name)) is not None and each[1] not in self._former
        ]
        self._shelf.remove(strays)
        self._names -= set(strays)
        there = {each.name: each for each in self._models}
        new = [model for model in models if not self._stands(model, there.get(model.name))]
        places = self._numbers(new)
        for number, model in enumerate(models, 1):
            before = there.get(model.name)
            if model.model_id in places:
                place = places[model.model_id]
                self._write_model(model, place)
                (self._laid.added if before is None else self._laid.replaced).append(model.name)
                if before is not None:
                    self._shelf.remove([file_of("models", before.model_id)])
            else:
                assert before is not None  # noqa: S101
                place = before.model_id
                self._laid.unchanged.append(model.name)
                self._refresh(model, place)
            self._laid.places[model.name] = place
            tell(Step("", "models", number, len(models)))
        self._write_shared(models)
        return self._laid

    def _stands(self, model: StoredModel, before: Standing | None) -> bool:
        """Whether the lake has a model as it is."""
        if before is None or faults(before, self._entries):
            return False
        return before.content == self._content(model)

    def _numbers(self, models: Sequence[StoredModel]) -> dict[int, int]:
        """The numbers in the lake of new models: their own where they are free."""
        taken = {each[1] for each in map(owner, self._names) if each is not None}
        free = {model.model_id for model in models} - taken
        following = max(taken | free, default=0)
        places = {}
        for model in models:
            if model.model_id not in free:
                following += 1
            places[model.model_id] = model.model_id if model.model_id in free else following
        return places

    @cached_property
    def _having(self) -> dict[str, set[int]]:
        """The models of the database that have rows in each table that not all have."""
        return {
            table: {
                one
                for (one,) in self._reader()
                .execute(f"SELECT DISTINCT model_id FROM {table} {_KEPT.get(table, '')}")  # noqa: S608
                .fetchall()
            }
            for table in EXTRAS
        }

    def _content(self, model: StoredModel) -> tuple[object, ...]:
        """As of :class:`Standing`."""
        labels = _LABELS.format(id=model.model_id)
        found = self._reader().execute(
            f"SELECT {', '.join(CONTENT[:-1])}, {labels} FROM models WHERE model_id = {model.model_id:d}"  # noqa: S608
        )
        (content,) = found.fetchall()
        return content

    def _write_model(self, model: StoredModel, place: int) -> None:
        one, sizes = model.model_id, []
        for table in DATA:
            rows = max(_VECTOR, min(_ROWS, _NUMBERS // model.dim // _VECTOR * _VECTOR))
            made = self._made(
                f"SELECT * EXCLUDE (model_id) FROM {table} WHERE model_id = {one:d} ORDER BY {_ORDER[table]}",  # noqa: S608
                rows if table == "weights" else _ROWS,
            )
            sizes.append(made.stat().st_size)
            self._put(file_of(table, place), made)
        for table in EXTRAS:
            if one in self._having[table]:
                self._put(file_of(table, place), self._extra(table, one))
        made = self._made(
            f"SELECT * EXCLUDE (model_id), {schema.newest()} AS schema, {sizes}::BIGINT[] AS sizes, "  # noqa: S608
            f"{_LABELS.format(id=one)} AS labels_sha256 FROM models WHERE model_id = {one:d}"
        )
        self._put(file_of("models", place), made)

    def _refresh(self, model: StoredModel, place: int) -> None:
        """Bring what may change of an unchanged model up to date: its tags, and trees there are more of."""
        there = [table for table in EXTRAS if file_of(table, place) in self._names]
        made = {
            table: self._extra(table, model.model_id)
            for table in EXTRAS
            if table in there or model.model_id in self._having[table]
        }
        with self._shelf.at_hand([file_of(table, place) for table in there]) as paths:
            known = dict(zip(there, paths, strict=True))
            if "trees" in known and not self._more_trees(made["trees"], known["trees"]):
                made = {table: file for table, file in made.items() if table == "tags"}
            for table, file in made.items():
                if table not in known or differs(file, known[table]):
                    self._put(file_of(table, place), file)

    def _more_trees(self, made: Path, known: Path) -> bool:
        """Whether every tree that the lake has of a model is among those of the database."""
        with duckdb.connect() as scratch, read_from(self._shelf):
            lost = scratch.execute(
                f"SELECT method, distance FROM {plain(literal(known))} "  # noqa: S608
                f"EXCEPT SELECT method, distance FROM {plain(literal(made))}"
            ).fetchall()
        return not lost

    def _extra(self, table: str, model_id: int) -> Path:
        return self._made(
            f"SELECT * EXCLUDE (model_id) FROM (FROM {table} {_KEPT.get(table, '')}) "  # noqa: S608
            f"WHERE model_id = {model_id:d} ORDER BY ALL",
            name=table,
        )

    def _write_shared(self, models: Sequence[StoredModel]) -> None:
        """What belongs to no single model: that of the database, and what the lake has beside it."""
        now = set(self._shelf.entries())
        alive, _former = standing(self._shelf, now)
        names = [shared_file(table) for table in SHARED if shared_file(table) in now]
        with self._shelf.at_hand(names) as paths:
            there = {path.stem: path for path in paths}
            connection = self._reader()
            with read_from(self._shelf):
                self._prepare(connection, models, alive, there)
                for table in SHARED[:-1]:
                    wanted = f"SELECT * FROM ({_SHARED[table]}) ORDER BY ALL"  # noqa: S608
                    made = self._made(wanted, connection=connection)
                    if table not in there or differs(made, there[table]):
                        self._put(shared_file(table), made)
                if self._written or "classrel" not in there:
                    # another file each time: by it readers see that something has changed
                    made = self._made(
                        f"SELECT 'schema' AS key, '{schema.newest()}' AS value UNION ALL SELECT 'exports', "  # noqa: S608
                        "(1 + coalesce(max(try_cast(value AS INTEGER)), 0))::VARCHAR FROM before_classrel "
                        "WHERE key = 'exports'",
                        connection=connection,
                    )
                    self._put(shared_file("classrel"), made)

    def _prepare(
        self,
        connection: DuckDBPyConnection,
        models: Sequence[StoredModel],
        alive: Sequence[Standing],
        there: Mapping[str, Path],
    ) -> None:
        """What the shared tables are made of, as temporary tables: ``before_NAME`` is that of the lake."""
        for table in SHARED:
            made = f"CREATE TEMP TABLE before_{table} AS FROM"
            try:
                known = plain(literal(there[table])) if table in there else f"{table} LIMIT 0"
                connection.execute(f"{made} {known}")
            except duckdb.InvalidInputException:  # no Parquet file any more: it is written anew
                connection.execute(f"{made} {table} LIMIT 0")
        connection.execute("CREATE TEMP TABLE placed (own INTEGER, place INTEGER)")
        placed = [[model.model_id, self._laid.places[model.name]] for model in models]
        connection.executemany("INSERT INTO placed VALUES (?, ?)", placed)
        connection.execute("CREATE TEMP TABLE alive (place INTEGER, concepts_sha256 VARCHAR)")
        lake = [[each.model_id, each.concepts_sha256] for each in alive]
        connection.executemany("INSERT INTO alive VALUES (?, ?)", lake)

    def _made(
        self,
        query: str,
        rows: int = _ROWS,
        *,
        name: str = "made",
        connection: DuckDBPyConnection | None = None,
    ) -> Path:
        file = self._work / f"{name}.parquet"
        _write(file, (connection or self._reader()).sql(query).to_arrow_reader(rows), rows)
        return file

    def _put(self, name: str, file: Path) -> None:
        self._shelf.put(name, file)
        self._names.add(name)
        self._written += 1


def _write(file: Path, batches: pa.RecordBatchReader, rows: int) -> None:
    """A Parquet file of row groups of so many rows.

    By pyarrow, whose bytes depend on the rows alone: DuckDB's own writer says of a column whether it has
    NULLs by what it knows of a whole table.
    """
    import pyarrow as pa
    from pyarrow import parquet

    encodings, worded = {}, []
    for each in batches.schema:
        inside = each.type.value_type if pa.types.is_list(each.type) else each.type
        path = f"{each.name}.list.element" if pa.types.is_list(each.type) else each.name
        if pa.types.is_floating(inside):
            encodings[path] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_integer(inside):
            encodings[path] = "DELTA_BINARY_PACKED"
        else:
            worded.append(path)
    with parquet.ParquetWriter(
        file,
        batches.schema,
        compression="zstd",
        use_dictionary=worded or False,
        column_encoding=encodings or None,
    ) as writer:
        for batch in batches:
            writer.write_batch(batch, row_group_size=rows)


def _beside(table: str) -> str:
    """The taxonomies of the database, and those of other names in the lake."""
    return (
        f"SELECT * FROM {table} UNION ALL SELECT * FROM before_{table} "  # noqa: S608
        "WHERE taxonomy NOT IN (SELECT taxonomy FROM taxonomies)"
    )


# What each shared table is to hold.
_SHARED = {
    "concept_map": "SELECT * FROM concept_map",
    **{table: _beside(table) for table in TAXONOMIC},
    # By the models' numbers in the lake. Of the lake's own those stay that the database has no other of,
    # and whose models are still there; where concepts are read as others than before, only those of models
    # of one label space.
    "comparisons": """
        WITH own AS (
            SELECT c.* REPLACE (least(a.place, b.place) AS model_a, greatest(a.place, b.place) AS model_b)
            FROM comparisons AS c
            JOIN placed AS a ON a.own = c.model_a
            JOIN placed AS b ON b.own = c.model_b
        )
        SELECT * FROM own
        UNION ALL
        SELECT c.* FROM before_comparisons AS c
        JOIN alive AS a ON a.place = c.model_a
        JOIN alive AS b ON b.place = c.model_b
        WHERE NOT EXISTS (
            FROM own AS o
            WHERE o.model_a = c.model_a AND o.model_b = c.model_b AND o.measure = c.measure
              AND o.normalization = c.normalization AND o.k IS NOT DISTINCT FROM c.k
        ) AND (
            a.concepts_sha256 = b.concepts_sha256
            OR NOT EXISTS (
                (FROM concept_map EXCEPT FROM before_concept_map)
                UNION ALL (FROM before_concept_map EXCEPT FROM concept_map)
            )
        )
    """,
}
