"""One DuckDB file: opening it for reading or writing, and DuckDB's errors in our words."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from classrel_db.errors import (
    ClassrelError,
    DatabaseError,
    LockedDatabaseError,
    MissingDatabaseError,
)
from classrel_db.storage.interrupt import watch
from classrel_db.storage.schema import FORMAT, require_schema, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from classrel_db.records import Finding


# What file systems without hard links (exFAT, some network shares) answer.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Database:
    """A DuckDB file with classrel's schema; it is opened on first use.

    Reading goes over read-only connections, writing over one that exists only inside
    :meth:`writer`: DuckDB lets a file be open for writing in one process alone, so the readers make
    way and come back with the next question. Relations got before a write end with it.
    """

    is_lake = False

    def __init__(self, path: Path) -> None:
        # An absolute path stays the same file when the process changes folder, and DuckDB never
        # takes it for one of its own words (":memory:", "md:…").
        self.path = path.absolute()
        self._lock = threading.RLock()
        self._opened: DuckDBPyConnection | None = None
        self._identity: tuple[int, int] | None = None
        self._written: tuple[int, ...] | None = None
        self._times_opened = 0
        self._own_queries: tuple[str, ...] = ()

    def use_queries(self, statements: Sequence[str]) -> None:
        """Make these temporary macros, too, on every connection that reads from now on."""
        self._own_queries = tuple(statements)

    def reader(self) -> DuckDBPyConnection:
        """A read-only connection for one question; threads don't share one.

        A file that another process has put in the place of the one that was open is opened anew.
        Raises MissingDatabaseError where there is no database and DatabaseError where it can't be
        used.
        """
        with self._lock:
            if self._opened is not None and self._identity != _identity(self.path):
                self.close()
            if self._opened is None:
                if not self.exists():
                    raise MissingDatabaseError(
                        f"no database at {self.path}; make one with `classrel ingest "
                        "efficientnet_lite0`, or name another with --db"
                    )
                with translated(self.path):
                    connection = self._connect(self.path, read_only=True)
                    try:
                        require_schema(connection, self.path)
                    except BaseException:
                        connection.close()
                        raise
                self._opened = connection
                self._identity = _identity(self.path)
                self._times_opened += 1
            cursor = watch(self._opened.cursor())
            for statement in self._own_queries:
                cursor.execute(statement)
            return cursor

    def generation(self) -> int:
        """A number that stays the same as long as the file can't have changed."""
        with self._lock:
            self.reader()
            return self._times_opened

    @contextmanager
    def writer(self, *, own: bool = True) -> Iterator[DuckDBPyConnection]:
        """A connection that may write, with this classrel's schema and macros in the file.

        What is not classrel's ``own`` statement may take them away: the next writer looks again.

        A new database is made under another name and takes its own when the body has succeeded: it
        is there whole or not at all.
        """
        with self._lock, translated(self.path):
            self.close()
            if self.exists():
                with self._writing(self.path) as connection:
                    yield connection
                if not own:
                    self._written = None
                return
            target = Path(os.path.realpath(self.path))
            with _built_beside(target) as fresh:
                with self._writing(fresh) as connection:
                    yield connection
                _take_place(fresh, target)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[DuckDBPyConnection]:
        # as the last write left it, the file has this classrel's definitions still
        is_current = self._written is not None and self._written == _state(path)
        connection = self._connect(path, read_only=False)
        try:
            if not is_current:
                upgrade(connection, self.path)
                is_current = True
            yield connection
        finally:
            connection.close()
            self._written = _state(path) if is_current else None

    def require_writable(self) -> None:
        """Raise DatabaseError where nothing can ever be written, as in a lake; a file can be."""

    def findings(self) -> Iterator[Finding]:
        """What ``check`` has to say of more files than this one: nothing."""
        return iter(())

    def close(self) -> None:
        """Release the file; the next question opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def exists(self) -> bool:
        """Whether there is a file with something in it. Raises DatabaseError for what is no file."""
        if self.path.is_dir():
            raise DatabaseError(
                f"{self.path} is a folder now; open it anew if it is a lake, or give a file, such as "
                f"{self.path}/classrel.duckdb"
            )
        if self.path.exists() and not self.path.is_file():
            raise DatabaseError(f"{self.path} is a device or a pipe; give a file with --db")
        return self.path.exists() and self.path.stat().st_size > 0

    @staticmethod
    def _connect(path: Path, *, read_only: bool) -> DuckDBPyConnection:
        # The reader has no settings of its own: DuckDB lets a process open a file more than once
        # only with the same ones, and a notebook may hold a connection beside the catalog.
        connection = duckdb.connect(
            str(path), read_only=read_only, config=FORMAT if not read_only else {}
        )
        # no extension is ever fetched from a network because of what a file or a query says
        connection.execute("SET autoinstall_known_extensions = false")
        if not read_only:
            # A commit writes the file itself at once, and not first a log that the close then
            # writes into the file.
            connection.execute("SET checkpoint_threshold = '1KB'")
        return connection


def _identity(path: Path) -> tuple[int, int] | None:
    """What stays the same as long as ``path`` is the same file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes with whatever is written to ``path``; None where that can't be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    if Path(f"{path}.wal").exists():  # changes that the file itself does not have yet
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _built_beside(target: Path) -> Iterator[Path]:
    """A path of the same name in a folder of its own beside ``target``, gone in the end.

    Raises DatabaseError where ``target`` can't be made.
    """
    if not target.parent.is_dir():
        raise DatabaseError(
            f"there is no folder {target.parent} to hold {target.name}; make it first"
        )
    log = Path(f"{target}.wal")
    if log.exists():
        raise DatabaseError(
            f"{log} is the log of a database that is no longer there, and would spoil a new one; "
            "move it away, or put its database back"
        )
    for leftover in target.parent.glob(f".{target.name}.*.new"):
        _sweep(leftover, target.name)
    folder = Path(
        tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".new", dir=target.parent)
    )
    try:
        yield folder / target.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(leftover: Path, name: str) -> None:
    """Remove what a killed process left, but nothing that a living one works on."""
    pid = leftover.name.removeprefix(f".{name}.").split(".")[0]
    try:
        if int(pid) == os.getpid():
            return
        os.kill(int(pid), 0)
    except ProcessLookupError:
        shutil.rmtree(leftover, ignore_errors=True)
    except (ValueError, OSError):
        return  # not one of ours, or of a process that we may not ask about


def _take_place(fresh: Path, target: Path) -> None:
    """Give a new database its name. Raises LockedDatabaseError where another has just taken it."""
    if target.exists() and target.stat().st_size == 0:  # such as mktemp makes
        fresh.replace(target)
        return
    try:
        try:
            os.link(fresh, target)  # unlike a rename, it never replaces what another has made
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(target, os.O_CREAT | os.O_EXCL))
            fresh.replace(target)
    except FileExistsError as error:
        raise LockedDatabaseError(
            f"another process has made {target} in the meantime; nothing was stored, run this again"
        ) from error


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """DuckDB's and the disk's errors as classrel's, once, at this boundary."""
    try:
        yield
    except ClassrelError:
        raise
    except (duckdb.Error, OSError) as error:
        raise _in_our_words(path, error) from error
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # how DuckDB spells Ctrl-C
            raise
        raise KeyboardInterrupt from error


def said(error: BaseException) -> str:
    """What DuckDB says; of an error in Python under it, as of a lake's store, the words and not the way.

    For DuckDB such an error is a traceback and then, where there is one, a place in the statement.
    """
    text = str(error).strip()
    if not text.startswith("Traceback (most recent call last)"):
        return text
    lines = [line for line in text.partition("\n\nLINE ")[0].splitlines() if line[:1].strip()]
    return lines[-1].partition(": ")[2] or lines[-1]


def _in_our_words(path: Path, error: Exception) -> DatabaseError:
    text = said(error)
    locked = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", text)
    if locked:
        program, pid = locked.groups()
        return LockedDatabaseError(
            f"{path} is in use by another process: {program} (PID {pid}); close it there, or wait "
            "until it is done, and try again"
        )
    if "with a different configuration" in text:
        return LockedDatabaseError(
            f"{path} is open in this process already, through another catalog or DuckDB connection; "
            "close() that one first"
        )
    full = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
    if getattr(error, "errno", None) in full or re.search(
        r"No space left on device|File too large|Disk quota exceeded", text
    ):
        return DatabaseError(
            f"the disk under {path} is full; nothing of the unfinished model was kept. Free some "
            "space, or name a database elsewhere with --db"
        )
    if "not a valid DuckDB database file" in text:
        return DatabaseError(
            f"{path} is not a DuckDB database; give another file with --db, or move this one away"
        )
    if "Permission denied" in text or "read-only mode" in text or "Read-only file system" in text:
        return DatabaseError(f"{path} may not be read or written by you: {_first_line(text)}")
    return DatabaseError(f"{path}: {_first_line(text)}")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "unknown error"
