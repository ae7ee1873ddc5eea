"""Where finished models wait for the database: a folder beside it, with one of its own for each run.

A run holds the lock of its folder as long as it lives. What one that was killed has left is taken over by
the next that asks for the same models; the rest of it goes.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from classrel_db.storage.parts import Packed

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_TRIES = 5


def folder_of(database: Path) -> Path:
    """``classrel.duckdb`` keeps finished models in ``classrel.parts/``."""
    return database.with_name(f"{database.stem}.parts")


def attempt(run: Path, key: str) -> Path:
    """A new folder in that of a ``run`` for the model of ``key``: two workers may be at the same one.

    Raises OSError where the run's folder is not there.
    """
    new = run / f"{key}-{secrets.token_hex(4)}"
    new.mkdir()
    return new


class Spool:
    """The folder of one run."""

    def __init__(self, folder: Path, lock: int | None) -> None:
        self.folder = folder
        self._lock = lock

    @classmethod
    def open(cls, database: Path, keys: Collection[str]) -> Spool:
        """A new folder, with the models of these ``keys`` that runs before have left whole in theirs.

        Raises OSError where there can be none.
        """
        parts = folder_of(database)
        spool = _claimed(parts)
        for lock in sorted(parts.glob("*.lock")):
            if lock.stem != spool.folder.name and lock.with_suffix("").is_dir():
                spool._take_over(lock, keys)
        return spool

    def waiting(self, key: str) -> Packed | None:
        """The model of this key, where it is there and whole."""
        found = (Packed.open(each) for each in sorted(self.folder.glob(f"{key}-*")))
        return next((each for each in found if each is not None), None)

    def remove(self, key: str) -> None:
        """Remove what is there of this key: it is stored, or never will be."""
        for folder in list(self.folder.glob(f"{key}-*")):
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> int:
        """Remove all but the models that are whole and still wait: that many are left."""
        left = 0
        for folder in list(self.folder.iterdir()):
            if Packed.open(folder) is not None:
                left += 1
            else:
                shutil.rmtree(folder, ignore_errors=True)
        if not left:
            _remove(self.folder)
        if self._lock is not None:
            os.close(self._lock)
        return left

    def _take_over(self, lock: Path, keys: Collection[str]) -> None:
        held = _hold(lock)
        if held is None:
            return  # the run is alive
        run = lock.with_suffix("")
        for folder in sorted(run.iterdir()):
            key = folder.name.partition("-")[0]
            if key in keys and self.waiting(key) is None and Packed.open(folder) is not None:
                folder.rename(self.folder / folder.name)
        _remove(run)
        os.close(held)


def _claimed(parts: Path) -> Spool:
    for left in reversed(range(_TRIES)):
        run = parts / secrets.token_hex(8)
        try:
            parts.mkdir(exist_ok=True)
            lock = _hold(run.with_suffix(".lock"))  # before there is a folder to be taken over
            run.mkdir()
        except FileNotFoundError:
            if not left or not parts.parent.is_dir():
                raise
            continue  # another run has just ended, and removed the folder
        return Spool(run, lock)
    raise AssertionError  # pragma: no cover


def _hold(lock: Path) -> int | None:
    """The open lock; None where another run holds it, or where the system has no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove(run: Path) -> None:
    """Remove the folder of a run that is over; the one around it goes with the last."""
    shutil.rmtree(run, ignore_errors=True)
    with suppress(OSError):
        run.with_suffix(".lock").unlink(missing_ok=True)
        run.parent.rmdir()
