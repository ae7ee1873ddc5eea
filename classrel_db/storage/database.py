"""One DuckDB file: opening it, its schema and its macros, and DuckDB's errors in our words."""

from __future__ import annotations

import errno
import hashlib
import re
import threading
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from classrel_db.errors import (
    ClassrelError,
    DatabaseError,
    LockedDatabaseError,
    MissingDatabaseError,
    SchemaError,
)
from classrel_db.records import Finding
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from duckdb import DuckDBPyConnection

# What DuckDB 1.2 and every later client can open; DuckDB 2.0's own default can't be read by 1.x.
STORAGE_VERSION = "v1.2.0"


class Database:
    """A DuckDB file with classrel's schema; connections are opened on first use.

    Reading goes over one read-only connection, writing over one that exists only inside
    :meth:`writer`: DuckDB lets a file be open for writing in one process alone, so the reader makes
    way and comes back with the next question. Relations got before a write end with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._reader: DuckDBPyConnection | None = None

    def reader(self) -> DuckDBPyConnection:
        """The read-only connection. Raises DatabaseError when there is no usable database."""
        with self._lock:
            if self._reader is None:
                if not self.path.exists():
                    raise MissingDatabaseError(
                        f"no database at {self.path}; make one with `classrel ingest "
                        "efficientnet_lite0`, or name another with --db"
                    )
                connection = self._connect(read_only=True)
                try:
                    self._require_schema(connection)
                except BaseException:
                    connection.close()
                    raise
                self._reader = connection
            return self._reader

    @contextmanager
    def writer(self) -> Iterator[DuckDBPyConnection]:
        """A connection that may write, with the newest schema and macros in the file.

        A file that did not exist before is removed again when the body fails on its first write.
        """
        with self._lock:
            self.close()
            is_new = not self.path.exists()
            connection = self._connect(read_only=False)
            try:
                with translated(self.path):
                    self._upgrade(connection)
                    yield connection
                    is_new = False
            finally:
                with translated(self.path):
                    holds_models = is_new and _has_models(connection)
                    connection.close()
                if is_new and not holds_models:
                    for suffix in ("", ".wal"):
                        Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def check_definitions(self) -> Finding:
        """Whether the views and macros in the file are those of this classrel."""
        current = dict(_settings(self.reader())).get("definitions") == _digest(_definitions())
        return Finding(
            model="",
            check="definitions",
            ok=current,
            detail="the views and macros are those of this classrel"
            if current
            else "the views and macros are of another classrel; the next ingest renews them",
        )

    def close(self) -> None:
        """Release the file; the next question opens it again."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _connect(self, *, read_only: bool) -> DuckDBPyConnection:
        if self.path.is_dir():
            raise DatabaseError(
                f"{self.path} is a folder; give a file, such as {self.path}/classrel.duckdb"
            )
        config: dict[str, str | bool | int | float | list[str]] = {}
        if not read_only:
            config["storage_compatibility_version"] = STORAGE_VERSION
        with translated(self.path):
            return duckdb.connect(str(self.path), read_only=read_only, config=config)

    def _require_schema(self, connection: DuckDBPyConnection) -> None:
        version = _schema_version(connection, self.path)
        newest = len(_migrations())
        if version == 0:
            raise MissingDatabaseError(
                f"the database {self.path} is empty; fill it with `classrel ingest efficientnet_lite0`"
            )
        if version > newest:
            raise SchemaError(
                f"{self.path} has schema {version}, written by a newer classrel; this one "
                f"({__version__}) reads up to schema {newest}: upgrade classrel-db"
            )
        if version < newest:
            raise SchemaError(
                f"{self.path} has schema {version}, this classrel reads schema {newest}; "
                "any `classrel ingest` into it upgrades it"
            )

    def _upgrade(self, connection: DuckDBPyConnection) -> None:
        version = _schema_version(connection, self.path)
        migrations = _migrations()
        if version > len(migrations):
            self._require_schema(connection)
        definitions = _definitions()
        digest = _digest(definitions)
        with transaction(connection):
            for script in migrations[version:]:
                connection.execute(script.read_text("utf-8"))
            connection.execute("CREATE TABLE IF NOT EXISTS classrel (key VARCHAR, value VARCHAR)")
            if dict(_settings(connection)) != {
                "schema": str(len(migrations)),
                "definitions": digest,
            }:
                for definition in definitions:
                    connection.execute(definition)
                connection.execute("DELETE FROM classrel")
                connection.execute(
                    "INSERT INTO classrel VALUES ('schema', ?), ('definitions', ?)",
                    [str(len(migrations)), digest],
                )


@contextmanager
def transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    """All of the body or nothing of it."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # after some errors DuckDB has ended the transaction itself
        with suppress(duckdb.TransactionException):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """DuckDB's and the disk's errors as classrel's, once, at this boundary."""
    try:
        yield
    except ClassrelError:
        raise
    except (duckdb.Error, OSError) as error:
        raise _in_our_words(path, error) from error


def query_files() -> list[Traversable]:
    """The named queries, one .sql file each: beside the package in a checkout, inside a wheel."""
    package = resources.files("classrel_db")
    folder = package / "queries"
    if not folder.is_dir():
        folder = Path(str(package)).parent / "queries"
    return _scripts(folder)


def _in_our_words(path: Path, error: Exception) -> DatabaseError:
    text = str(error)
    locked = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", text)
    if locked:
        program, pid = locked.groups()
        return LockedDatabaseError(
            f"{path} is in use by another process: {program} (PID {pid}); close it there, or wait "
            "until it is done, and try again"
        )
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in text:
        return DatabaseError(
            f"the disk under {path} is full; nothing of the unfinished model was kept. Free some "
            "space, or name a database elsewhere with --db"
        )
    if "not a valid DuckDB database file" in text:
        return DatabaseError(
            f"{path} is not a DuckDB database; give another file with --db, or move this one away"
        )
    if "Permission denied" in text or "read-only mode" in text:
        return DatabaseError(f"{path} may not be written (or read) by you: {_first_line(text)}")
    if "Cannot open file" in text and not path.parent.exists():
        return DatabaseError(f"there is no folder {path.parent} to hold {path.name}; make it first")
    return DatabaseError(f"{path}: {_first_line(text)}")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "unknown error"


def _schema_version(connection: DuckDBPyConnection, path: Path) -> int:
    tables = {
        name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    }
    if not tables:
        return 0
    if "classrel" not in tables:
        raise SchemaError(
            f"{path} is a DuckDB database of another program (tables: {', '.join(sorted(tables)[:5])}); "
            "classrel keeps its own file, name another with --db"
        )
    return int(dict(_settings(connection))["schema"])


def _settings(connection: DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute("SELECT key, value FROM classrel").fetchall()


def _has_models(connection: DuckDBPyConnection) -> bool:
    try:
        return connection.execute("SELECT count(*) FROM models").fetchall() != [(0,)]
    except duckdb.Error:
        return False


def _migrations() -> list[Traversable]:
    return _scripts(resources.files("classrel_db.storage") / "migrations")


def _definitions() -> list[str]:
    """The views and macros, each a script, in the order in which they build on each other."""
    views = resources.files("classrel_db.storage") / "views.sql"
    return [script.read_text("utf-8") for script in (views, *query_files())]


def _digest(definitions: list[str]) -> str:
    return hashlib.sha256("\0".join(definitions).encode()).hexdigest()


def _scripts(folder: Traversable) -> list[Traversable]:
    return sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
