"""What is kept between questions, for as long as the database can't change."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from classrel_db.catalog.lookup import Lookup
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb import DuckDBPyConnection

    from classrel_db.catalog.vectors import VectorSearch
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache


class Known:
    """Names, loaded heads and SQL connections of one generation of a database."""

    def __init__(
        self, generation: int, database: Database, indexes: Callable[[], IndexCache]
    ) -> None:
        self.generation = generation
        self.lookup = Lookup(database)
        self._database = database
        self._indexes = indexes
        self._sessions: dict[int, DuckDBPyConnection] = {}
        self._labels: dict[int | None, list[str]] = {}

    @cached_property
    def search(self) -> VectorSearch:
        from classrel_db.catalog.vectors import VectorSearch

        return VectorSearch(self._database, self._indexes())

    @property
    def session(self) -> DuckDBPyConnection:
        """This thread's connection for SQL: what is temporary stays between statements."""
        thread = threading.get_ident()
        if thread not in self._sessions:
            self._sessions[thread] = self._database.reader()
        return self._sessions[thread]

    def labels(self, model_id: int | None) -> list[str]:
        """The labels of one model, or of all, each once."""
        if model_id not in self._labels:
            self._labels[model_id] = read.labels(self._database.reader(), model_id)
        return self._labels[model_id]

    @cached_property
    def sql_words(self) -> tuple[list[str], list[str]]:
        """SQL's words, and the names of its functions."""
        return read.words(self._database.reader())

    def close(self) -> None:
        """End the connections: the file can't be written while one is open."""
        for connection in self._sessions.values():
            connection.close()
        self._sessions = {}
