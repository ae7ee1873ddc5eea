"""Files that are written: whole or not at all, and never over the database."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def require_other(output: Path, database: Path) -> None:
    """Raise ArgumentError where ``output`` is the database itself."""
    if _same_file(output, database):
        raise ArgumentError(f"{output} is the database itself; write to another file")


def require_room(output: Path) -> None:
    """Raise ArgumentError where a file can't be made there: said before it is worked for."""
    if output.is_dir():
        raise ArgumentError(f"can't write {output}: it is a folder")
    folder = Path(os.path.realpath(output)).parent
    if not folder.is_dir():
        raise ArgumentError(f"can't write {output}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise ArgumentError(f"can't write {output}: the folder {folder} can't be written to")


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A file beside ``output`` that takes its place when the body has succeeded.

    A device or a pipe is written to as it is. Raises ArgumentError where it can't be written.
    """
    if output.is_dir():
        raise ArgumentError(f"can't write {output}: it is a folder")
    if output.is_relative_to("/dev") or (output.exists() and not output.is_file()):
        with _explained(output):
            yield output
        return
    target = Path(os.path.realpath(output))  # a link stays, what it leads to is replaced
    with _explained(output):
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".partial"
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(output: Path, own: Collection[str]) -> Iterator[Path]:
    """A folder beside ``output`` that takes its place, whole, when the body has succeeded.

    What stands there already may be an empty folder, or one of files with the endings ``own`` alone, which
    an earlier run has left. Raises ArgumentError for anything else, and where it can't be written.
    """
    target = Path(os.path.realpath(output))
    with _explained(output):
        if target.exists() and not target.is_dir():
            raise ArgumentError(
                f"can't write {output}: it is a file, and this is a folder of files"
            )
        if target.is_dir():
            other = [each.name for each in target.iterdir() if each.suffix not in own]
            if other:
                raise ArgumentError(
                    f"can't write {output}: the folder holds {quoted(min(other))}, which is not of an "
                    "export; name a new folder"
                )
        made = Path(
            tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
        )
        try:
            whole = made / "new"
            whole.mkdir()  # with the permissions of any other folder
            yield whole
            if target.is_dir():
                target.rename(made / "old")
            whole.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArgumentError(f"can't write {output}: {error.strerror or error}") from error
    except Exception as error:
        # DuckDB's writer of Parquet has an error of its own for a full disk
        if type(error).__name__ != "IOException":
            raise
        raise ArgumentError(f"can't write {output}: {error}") from error


def _same_file(output: Path, database: Path) -> bool:
    files = (database, Path(f"{database}.wal"))
    return output.exists() and any(file.exists() and output.samefile(file) for file in files)


def _umask() -> int:
    # the only way to read it is to set it
    mask = os.umask(0)
    os.umask(mask)
    return mask
