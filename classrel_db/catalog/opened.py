"""The part of a catalog that holds its file: opened on demand, closed for writers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.catalog.known import Known
from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted
from classrel_db.storage import queries as query_files
from classrel_db.storage.database import Database, translated
from classrel_db.storage.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from duckdb import DuckDBPyConnection

    from classrel_db.records import StoredModel
    from classrel_db.storage.index import IndexCache
    from classrel_db.storage.lake_files import Shelf


class Opened:
    """One database file or lake, and what is known of it as long as it can't change."""

    def __init__(self, path: Path | str, queries: Path | None = None) -> None:
        self._database = _database_at(path)
        self.path = self._database.path
        self._known: Known | None = None
        own = query_files.of_folder(queries) if queries is not None else []
        self._database.use_queries([query_files.as_temporary(query) for query in own])
        self._own_queries = own
        self._making = threading.RLock()  # held by the thread that makes what the file is to keep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r})"

    def close(self) -> None:
        """Release the file; the next question opens it again."""
        if self._known is not None:
            self._known.close()
            self._known = None
        self._database.close()

    @cached_property
    def _indexes(self) -> IndexCache:
        from classrel_db.storage.index import IndexCache, folder_of

        if self._database.is_lake:
            from classrel_db.storage.lake import cache_folder

            return IndexCache(
                cache_folder() / "faiss"
            )  # one for all: files are named by their content
        return IndexCache(folder_of(self.path))

    def _known_now(self) -> Known:
        """What was found out in the database's present state; anew after each change."""
        generation = self._database.generation()
        known = self._known
        if known is None or known.generation != generation:
            known = Known(generation, self._database, lambda: self._indexes)
            self._known = known
        return known

    @contextmanager
    def _written(self) -> Iterator[DuckDBPyConnection]:
        """The file open for writing, in one transaction. Raises DatabaseError."""
        with self._making:
            with translated(self.path):  # another thread may be asking something
                self.close()
            with self._database.writer() as connection, transaction(connection):
                yield connection

    def _require_writable(self) -> None:
        """Raise DatabaseError where nothing is ever written: said before it is worked for."""
        self._database.require_writable()

    def _one(self, name: str) -> StoredModel:
        """The model of this name. Raises UnknownModelError, and ArgumentError for what is no name."""
        if not isinstance(name, str):
            raise ArgumentError(f"name one model, not {name!r}")
        return self._known_now().lookup.models(name)[0]

    def _distinct(self, names: Sequence[str], what: str = "comparison") -> list[StoredModel]:
        """The models of these names, two or more, each named once. Raises ArgumentError."""
        twice = next((name for name in names if list(names).count(name) > 1), None)
        if twice is not None:
            raise ArgumentError(
                f"{quoted(str(twice))} is named twice; a model agrees with itself: name another"
            )
        if len(names) < 2:
            raise ArgumentError(
                f"{len(names)} model is named; a {what} needs two or more: `classrel models` lists them"
            )
        return self._known_now().lookup.models(list(names))


def is_address(path: object) -> bool:
    """Whether this is a place in a store, as ``s3://bucket/folder``, and not a path."""
    return isinstance(path, str) and "://" in path


def shelf_at(path: Path | str) -> Shelf:
    """Where the files of a lake are: a folder, or a place in a store.

    Raises DatabaseError, and MissingExtraError for a store whose package is not installed.
    """
    if is_address(path):
        from classrel_db.sources.buckets import Bucket

        return Bucket(str(path))
    from classrel_db.storage.lake_files import Folder

    return Folder(Path(path))


def _database_at(path: Path | str) -> Database:
    if is_address(path) or Path(path).is_dir():
        from classrel_db.storage.lake import Lake

        return Lake(shelf_at(path))
    return Database(Path(path))
