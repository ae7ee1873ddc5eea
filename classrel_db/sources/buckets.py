"""A lake in an object store: what fsspec knows, with one message for whatever goes wrong."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from classrel_db.errors import DatabaseError, LockedDatabaseError, MissingExtraError
from classrel_db.sources.stores import store_errors
from classrel_db.sources.transport import reason_of
from classrel_db.spelling import quoted
from classrel_db.text import shown_url

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from duckdb import DuckDBPyConnection

_LOCK = ".exporting.json"
_STALE = 3600.0  # seconds without a sign of life: longer than one file takes to be written
_SIGN = 60.0  # seconds between two of them


class _Listed(NamedTuple):
    """One object: its bytes, and a mark that is another when its content is."""

    size: int
    mark: str


class Address(type(Path())):  # type: ignore[misc]
    """An address where a path is expected, to be named, compared and shown: no file has this path."""

    def __str__(self) -> str:
        shown: str = super().__str__()
        return shown.replace(":/", "://", 1)

    def absolute(self) -> Address:
        """Itself."""
        return self


class Bucket:
    """A lake behind an address such as ``s3://bucket/folder``.

    Credentials and the endpoint come from the environment, as for any program of that store. Raises
    DatabaseError, and MissingExtraError where the address needs a package that is not installed.
    """

    is_remote = True

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.path: Path = Address(shown_url(address).rstrip("/"))
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise DatabaseError(
                f"{self.path} is given with a user, a password or a query; the address of a lake has none of "
                "them: credentials come from the environment"
            )
        if parts.scheme in {"http", "https"} or not parts.netloc:
            raise DatabaseError(
                f"{self.path} is no address of a lake; give a folder, or a place in a store that lists its "
                "files, such as s3://bucket/folder"
            )
        self._scheme = parts.scheme
        self._listed: dict[str, _Listed] = {}
        try:
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(
                str(self.path), **_settings(parts.scheme)
            )
        except ImportError as error:
            remedy = (
                'pip install "classrel-db[s3]" brings it'
                if parts.scheme in {"s3", "s3a"}
                else "install that package beside classrel"
            )
            raise MissingExtraError(f"can't open {self.path}: {error}; {remedy}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise DatabaseError(
                f"{self.path} is no address of a lake: {reason_of(error)}; give a folder, or a place in a "
                "store that lists its files, such as s3://bucket/folder"
            ) from error

    def entries(self, folder: str = "") -> dict[str, str]:
        """The objects under a folder of the lake, each with a mark that is another when its content is; none
        where there is no such folder."""
        with self._explained("read"):
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._at(folder), detail=True)
            except FileNotFoundError as error:
                if "bucket" in str(error).lower():
                    raise
                found = {}
        listed = {
            path[len(self._root) + 1 :]: _Listed(int(known["size"] or 0), _mark(known))
            for path, known in found.items()
            if known["type"] == "file"
        }
        self._listed |= listed
        return {name: each.mark for name, each in listed.items() if not name.startswith(".")}

    def place(self, name: str) -> str:
        """An object as DuckDB is told of it."""
        return f"{self.path}/{name}"

    def serve(self, connection: DuckDBPyConnection) -> None:
        """Let DuckDB read the objects, as of the last :meth:`entries`, by their places."""
        from fsspec import AbstractFileSystem

        bucket = self

        class Served(AbstractFileSystem):  # type: ignore[misc]
            """What DuckDB asks of a file system."""

            protocol = self._scheme
            cachable = False

            def glob(self, path: str, **_given: object) -> list[str]:
                return [path]

            def open(self, path: str, mode: str = "rb", **_given: object) -> _Reading:
                name = path.removeprefix(f"{bucket.path}/")
                if mode != "rb" or name == path:
                    raise DatabaseError(f"{shown_url(path)} is no file of the lake {bucket.path}")
                return _Reading(bucket, name)

            def size(self, path: str) -> int:
                return bucket.listed(path.removeprefix(f"{bucket.path}/")).size

            def modified(self, path: str) -> datetime:
                # what DuckDB keeps of a file is of no use when this is another
                mark = bucket.listed(path.removeprefix(f"{bucket.path}/")).mark
                return datetime.fromtimestamp(zlib.crc32(mark.encode()), UTC)

        if not connection.filesystem_is_registered(self._scheme):
            connection.register_filesystem(Served())
        # reading is waiting, for as many files at once as there are threads
        connection.execute(f"SET threads = {max(16, os.cpu_count() or 1)}")

    def listed(self, name: str) -> _Listed:
        """What is known of one object."""
        if name not in self._listed:
            with self._explained("read"):
                known = self._files.info(self._at(name))
            self._listed[name] = _Listed(int(known["size"]), _mark(known))
        return self._listed[name]

    def portion(self, name: str, start: int, stop: int) -> bytes:
        """Some bytes of one object. Raises DatabaseError, also where there are not so many."""
        with self._explained("read"):
            found: bytes = self._files.cat_file(self._at(name), start=start, end=stop)
        if len(found) != stop - start:
            raise DatabaseError(
                f"{self.place(name)} ends before byte {stop:,}, or has changed while it was read; try again"
            )
        return found

    @contextmanager
    def at_hand(self, names: Sequence[str]) -> Iterator[list[Path]]:
        """These objects in files of this machine, many fetched at once."""
        with tempfile.TemporaryDirectory(prefix="classrel-") as folder:
            paths = [Path(folder) / name for name in names]
            for parent in {path.parent for path in paths}:
                parent.mkdir(parents=True)
            if names:
                with self._explained("read"):
                    self._files.get([self._at(name) for name in names], [str(p) for p in paths])
            yield paths

    def put(self, name: str, file: Path) -> None:
        """Make ``file`` the content of an object, at once."""
        with self._explained("write"):
            self._files.put_file(str(file), self._at(name))
        self._tell_alive()

    def remove(self, names: Collection[str]) -> None:
        """Remove objects; one that is not there any more is none the worse."""
        if names:
            with self._explained("write"):
                self._files.rm([self._at(name) for name in names])

    @contextmanager
    def exclusive(self) -> Iterator[Path]:
        """A folder to work in, for one writer of the lake at a time. Raises LockedDatabaseError.

        The writer shows signs of life in an object of its own; one that has shown none for an hour is dead.
        """
        self._own = json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode()
        with self._explained("write"):
            try:
                self._files.pipe_file(self._at(_LOCK), self._own, mode="create")
            except FileExistsError as error:
                self._take_over(error)
        self._told = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="classrel-") as folder:
                yield Path(folder)
        finally:
            self.remove([_LOCK])

    def _take_over(self, error: FileExistsError) -> None:
        self._files.invalidate_cache()
        age = (datetime.now(UTC) - self._files.modified(self._at(_LOCK))).total_seconds()
        if age < _STALE:
            holder = _holder(self._files.cat_file(self._at(_LOCK)))
            raise LockedDatabaseError(
                f"another export is writing to {self.path}: {holder}, last seen {max(0.0, age):,.0f} seconds "
                f"ago; wait until it is done, or, if it has died, remove {self.place(_LOCK)}"
            ) from error
        self._files.pipe_file(self._at(_LOCK), self._own)

    def _tell_alive(self) -> None:
        if time.monotonic() - self._told > _SIGN:
            with self._explained("write"):
                self._files.pipe_file(self._at(_LOCK), self._own)
            self._told = time.monotonic()

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except store_errors() as error:
            if isinstance(error, PermissionError):
                advice = f"your credentials may not {doing} there"
            elif "credentials" in str(error).lower():
                advice = "credentials come from the environment, as for any program of that store"
            else:
                advice = "check the address, your access to it and the connection, and try again"
            raise DatabaseError(
                f"can't {doing} the lake {self.path}: {reason_of(error)}; {advice}"
            ) from error


class _Reading:
    """One object, open for DuckDB to read from."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._at = 0

    def read(self, size: int) -> bytes:
        stop = min(self._at + size, self._bucket.listed(self._name).size)
        found = self._bucket.portion(self._name, self._at, stop) if stop > self._at else b""
        self._at = stop
        return found

    def seek(self, at: int) -> None:
        self._at = at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """Nothing is held."""


def _settings(scheme: str) -> dict[str, Any]:
    """What a file system is opened with."""
    if scheme not in {"s3", "s3a"} or "AWS_MAX_ATTEMPTS" in os.environ:
        return {}
    # s3fs tries again by itself; botocore's own tries under it would make 25 of 5
    return {"config_kwargs": {"retries": {"total_max_attempts": 1}}}


def _mark(known: dict[str, Any]) -> str:
    """What a store says of the state of an object."""
    named = ("ETag", "etag", "md5Hash", "content_settings", "LastModified", "mtime", "created")
    found = next((known[each] for each in named if known.get(each)), "")
    return f"{known['size']}-{found}"


def _holder(content: bytes) -> str:
    try:
        known = json.loads(content)
        return quoted(f"process {known['process']} on {known['host']}")
    except (ValueError, KeyError, TypeError):
        return "a process that does not say which"
