"""A lake as a database that is only read: the same tables, views and macros over Parquet files.

What a reader asks first is gathered in a small DuckDB file of the user's cache folder: the rows of
``models``, ``classes`` and the shared tables, classrel's definitions, and a view over the files of each
other table. It is named by the state of the lake, so the next process opens it as it would a database;
another state is another file. DuckDB opens it read-only, and so refuses whatever would change it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from classrel_db.errors import DatabaseError
from classrel_db.records import Finding
from classrel_db.storage import schema
from classrel_db.storage.database import Database, translated
from classrel_db.storage.interrupt import watch
from classrel_db.storage.lake_files import (
    DATA,
    EXTRAS,
    SHARED,
    Folder,
    faults,
    file_of,
    foreign,
    ids_of,
    leftovers,
    literal,
    parquet,
    plain,
    read_from,
    require_same_schema,
    shared_file,
    standing,
)
from classrel_db.storage.transaction import transaction
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from classrel_db.storage.lake_files import Shelf, Standing

_LOOK_EVERY = 2.0  # seconds between two looks at which models there are
_TRIES = 5  # to read a lake that changes


def cache_folder() -> Path:
    """The user's folder for what can be made again: $XDG_CACHE_HOME/classrel, else ~/.cache/classrel."""
    named = os.environ.get("XDG_CACHE_HOME")
    if named and Path(named).is_absolute():
        return Path(named) / "classrel"
    return Path(os.path.expanduser("~/.cache")) / "classrel"  # noqa: PTH111 (this one never raises)


class Lake(Database):
    """A lake that is read as a database is; whatever writes is refused.

    A question sees a whole number of models, each of them whole. At most two seconds after a model has been
    added or replaced the next question sees it.
    """

    is_lake = True

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf.path)
        self._shelf = shelf
        self._state: dict[str, str] = {}
        self._looked = -_LOOK_EVERY

    def reader(self) -> DuckDBPyConnection:
        """A connection for one question; threads don't share one.

        Raises DatabaseError where there is no lake, or one that can't be read.
        """
        with self._lock:
            if self._opened is None:
                self._look_again()
            assert self._opened is not None  # noqa: S101
            cursor = watch(self._opened.cursor())
            for statement in self._own_queries:
                cursor.execute(statement)
            return cursor

    def generation(self) -> int:
        """A number that stays the same as long as no other models have been seen."""
        with self._lock:
            if self._opened is None or time.monotonic() - self._looked >= _LOOK_EVERY:
                self._look_again()
            return self._times_opened

    @contextmanager
    def writer(self, *, own: bool = True) -> Iterator[DuckDBPyConnection]:  # noqa: ARG002
        """Raises DatabaseError: a lake is only read."""
        self.require_writable()
        yield self.reader()

    def require_writable(self) -> None:
        """Raises DatabaseError: a lake is only read."""
        self.exists()
        raise DatabaseError(
            f"{self.path} is a lake, which is only read; change the database that it was exported from, and "
            f"`classrel export {self.path} --to parquet` again"
        )

    def exists(self) -> bool:
        """Whether there are models. Raises DatabaseError for what is no lake."""
        if ids_of(self._shelf.entries("models"), "models"):
            return True
        inside = foreign(self._shelf.entries())
        if self._shelf.is_remote:
            raise DatabaseError(
                f"no lake at {self.path}; make one with `classrel export {self.path} --to parquet`"
            )
        raise DatabaseError(
            f"{self.path} is a folder without a lake in it{f' (it holds {inside})' if inside else ''}; name "
            f"a database file, such as {self.path / 'classrel.duckdb'}, or make a lake of a new folder by "
            "`classrel export FOLDER/ --to parquet`"
        )

    def findings(self) -> Iterator[Finding]:
        """What ``check`` says of the files: which are missing, cut short, or of no model."""
        now = self._shelf.entries()
        if not ids_of(now, "models"):
            self.exists()
        models, _replaced = standing(self._shelf, now)
        number = schema.newest()
        unlike = [f"{each.name} has {each.schema}" for each in models if each.schema != number]
        yield Finding(
            "",
            "schema",
            not unlike,
            f"this classrel reads schema {number}: {', '.join(unlike)}"
            if unlike
            else f"every model has schema {number}",
        )
        strays = leftovers(now, models)
        unfinished = self._shelf.unfinished() if isinstance(self._shelf, Folder) else []
        yield Finding(
            "",
            "leftovers",
            True,
            f"of no model, the next export removes them: {_listed([*unfinished, *strays])}"
            if strays or unfinished
            else "every file is of a model",
        )
        with duckdb.connect() as scratch:
            self._shelf.serve(scratch)
            for model in models:
                wrong = self._faults(scratch, model, now)
                yield Finding(
                    model.name,
                    "files",
                    not wrong,
                    f"{_listed(wrong)}; export the model again"
                    if wrong
                    else "all are there, and can be read",
                )
            for name in (shared_file(table) for table in SHARED):
                fault = self._fault(scratch, name) if name in now else f"{name} is missing"
                if fault:
                    yield Finding("", "files", False, f"{fault}; any export writes it again")

    def _faults(
        self, scratch: DuckDBPyConnection, model: Standing, now: Mapping[str, str]
    ) -> list[str]:
        there = [file_of(table, model.model_id) for table in (*DATA, *EXTRAS)]
        found = [self._fault(scratch, name) for name in there if name in now]
        return faults(model, now) or [each for each in found if each]

    def _fault(self, scratch: DuckDBPyConnection, name: str) -> str | None:
        """What is wrong with a file: every value in it is read."""
        try:
            scratch.execute(f"SELECT bit_xor(hash(r)) FROM {plain(self._shelf.place(name))} AS r")  # noqa: S608
        except duckdb.Error:
            return f"{name} is cut short or damaged"
        return None

    def _look_again(self) -> None:
        """Open the lake as it is now, unless it is open so."""
        for attempt in range(_TRIES):
            state = self._now()
            self._looked = time.monotonic()
            if self._opened is not None and state == self._state:
                return
            if not ids_of(state, "models"):
                self.exists()
            try:
                opened = self._open(state)
            except DatabaseError:
                # what was listed may have been replaced, and removed, in the meantime
                if attempt == _TRIES - 1 or self._now() == state:
                    raise
                continue
            # what others still read of the connection before stays open until they let go of it
            self._opened, self._state = opened, state
            self._times_opened += 1
            return

    def _now(self) -> dict[str, str]:
        """What changes with every export."""
        return self._shelf.entries("models") | self._shelf.entries("shared")

    def _open(self, state: Mapping[str, str]) -> DuckDBPyConnection:
        folder = cache_folder() / "lakes"
        own = hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        gathered = folder / f"{own}-{_digest(state)}.duckdb"
        if gathered.exists():
            with suppress(duckdb.Error):  # what is damaged is made anew
                return self._connected(gathered)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            work = tempfile.TemporaryDirectory(dir=folder, prefix=".")
        except OSError:  # kept nowhere, then
            work = tempfile.TemporaryDirectory(prefix="classrel-")
            folder = Path(work.name)
        with work, translated(folder):
            made = Path(work.name) / "made.duckdb"
            self._gather(made, state)
            for former in folder.glob(f"{own}-*"):
                former.unlink(missing_ok=True)  # who has it open keeps it
            return self._connected(made.replace(folder / gathered.name))

    def _connected(self, gathered: Path) -> DuckDBPyConnection:
        connection = self._connect(gathered, read_only=True)
        self._shelf.serve(connection)
        return connection

    def _gather(self, file: Path, state: Mapping[str, str]) -> None:
        """Make the file that readers open."""
        # in this order: what is whole when it is listed is followed by what it needs
        trees = self._shelf.entries("trees")
        now = {k: v for k, v in self._shelf.entries().items() if not k.startswith("trees/")}
        now |= trees
        models, _replaced = standing(self._shelf, state)
        require_same_schema(self._shelf, models, schema.newest())
        for model in models:
            wrong = faults(model, now)
            if wrong:
                raise DatabaseError(
                    f"the lake {self.path} is not whole: of {model.name}, {_listed(wrong)}; "
                    f"export the model again, or remove {file_of('models', model.model_id)} to do without it"
                )
        with duckdb.connect(str(file), config=schema.FORMAT) as connection:
            schema.upgrade(connection, self.path, data=False)
            self._shelf.serve(connection)
            with read_from(self._shelf), transaction(connection):
                for table in ("models", "classes"):
                    self._copy(connection, table, [each.model_id for each in models])
                for table in (*DATA[1:], *EXTRAS):
                    alive = [each.model_id for each in models]
                    have = [one for one in alive if file_of(table, one) in now]
                    self._view(connection, table, have)
                # the number of the schema is that of this classrel, which reads them
                shared = [each for each in SHARED[:-1] if shared_file(each) in state]
                with self._shelf.at_hand([shared_file(table) for table in shared]) as paths:
                    for table, path in zip(shared, paths, strict=True):
                        connection.execute(
                            f"INSERT INTO {table} BY NAME FROM {plain(literal(path))}"
                        )
        shared_now = self._shelf.entries("shared")
        if shared_now != {name: mark for name, mark in state.items() if name.startswith("shared/")}:
            raise DatabaseError(f"the lake {self.path} is being exported to; try again")

    def _copy(self, connection: DuckDBPyConnection, table: str, model_ids: Sequence[int]) -> None:
        """The rows of some models, of all questions the first to be asked for."""
        columns = _columns(connection, table)
        with self._shelf.at_hand([file_of(table, one) for one in model_ids]) as paths:
            connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} "  # noqa: S608
                f"FROM {parquet(map(literal, paths))}"
                + (" ORDER BY model_id, class_idx" if table == "classes" else "")
            )

    def _view(self, connection: DuckDBPyConnection, table: str, model_ids: Sequence[int]) -> None:
        """The rows of some models, read from their files by each question; without any, an empty table."""
        if not model_ids:
            return
        columns = _columns(connection, table)
        places = [self._shelf.place(file_of(table, one)) for one in model_ids]
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"CREATE VIEW {table} AS SELECT {columns} FROM {parquet(places)}")  # noqa: S608


def _columns(connection: DuckDBPyConnection, table: str) -> str:
    found = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
        [table],
    ).fetchall()
    return ", ".join(f'"{name}"' for (name,) in found)


def _digest(state: Mapping[str, str]) -> str:
    """What names the state of a lake to this classrel."""
    digest = hashlib.sha256(f"{__version__} {schema.newest()} {duckdb.__version__}".encode())
    for script in schema.definitions():
        digest.update(script.encode())
    for name, mark in sorted(state.items()):
        digest.update(f"{name}\0{mark}\n".encode())
    return digest.hexdigest()[:32]


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
