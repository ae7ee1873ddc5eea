"""Database files that tests share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pathlib import Path


def kept_open(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection that leaves the next ones of this process little to do: 2 instead of 25 ms each.

    For files that are read only: as long as it is open, nobody can write.
    """
    return duckdb.connect(str(path), read_only=True)


def copy_database(path: Path, copy: Path) -> Path:
    """Copy a database with its index."""
    shutil.copyfile(path, copy)
    shutil.copytree(path.with_suffix(".faiss"), copy.with_suffix(".faiss"))
    return copy
