"""Files that are written: whole or not at all, and never over the database."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence


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
    if _is_stream(output):
        with _explained(output):
            yield output
        return
    target = Path(os.path.realpath(output))  # a link stays, what it leads to is replaced
    with _explained(output):
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=_beside(target), suffix=".partial"
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
            temporary.chmod(mode)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _is_stream(output: Path) -> bool:
    """Whether this is a device, a pipe or a descriptor, which is written to as it is."""
    named = os.path.normpath(output)
    if named in {"/dev/stdout", "/dev/stderr"} or named.startswith(("/dev/fd/", "/proc/")):
        return True
    return output.exists() and not output.is_file()


def _beside(target: Path) -> str:
    """How the name of a file begins that is to take a target's place; a name has at most 255 bytes."""
    return f".{os.fsdecode(os.fsencode(target.name)[:100])}."


@contextmanager
def replacing_folder(
    output: Path, foreign: Callable[[Sequence[Path]], str | None], last: Collection[str]
) -> Iterator[Path]:
    """A folder whose files go to ``output`` when the body has succeeded, those named ``last`` at the end.

    What stands there already may be an empty folder, or one that an earlier run has left: ``foreign`` names
    what is not of such a one. Its files are replaced, and what has no successor is removed. Raises
    ArgumentError for anything else, and where it can't be written.
    """
    target = Path(os.path.realpath(output))
    with _explained(output):
        if target.exists() and not target.is_dir():
            raise ArgumentError(
                f"can't write {output}: it is a file, and this is a folder of files"
            )
        before = sorted(target.iterdir()) if target.is_dir() else []
        before = [each for each in before if not each.name.endswith(".partial")]
        other = foreign(before) if before else None
        if other is not None:
            raise ArgumentError(
                f"can't write {output}: the folder holds {quoted(other)}, which is not of an export; name a "
                "new folder"
            )
        # inside a folder that is there, which may be another file system or where the user stands
        inside = target.is_dir()
        made = Path(
            tempfile.mkdtemp(
                dir=target if inside else target.parent, prefix=_beside(target), suffix=".partial"
            )
        )
        try:
            whole = made / "new"
            whole.mkdir()  # with the permissions of any other folder
            yield whole
            if not inside:
                whole.rename(target)
                return
            names = sorted((each.name for each in whole.iterdir()), key=lambda name: name in last)
            for name in names:
                (whole / name).replace(target / name)
            for each in before:
                if each.name not in names:
                    each.unlink(missing_ok=True)
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
