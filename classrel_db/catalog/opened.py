"""The part of a catalog that holds its file: opened on demand, closed for writers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from classrel_db.catalog.known import Known
from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted
from classrel_db.storage import queries as query_files
from classrel_db.storage.database import Database, translated
from classrel_db.storage.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from duckdb import DuckDBPyConnection

    from classrel_db.records import StoredModel
    from classrel_db.storage.index import IndexCache


class Opened:
    """One database file, and what is known of it as long as it can't change."""

    def __init__(self, path: Path, queries: Path | None = None) -> None:
        self._database = Database(path)
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
