"""Child processes that die, or that may not write, and an older DuckDB."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLDER_DUCKDB = "1.2.2"


@pytest.fixture(scope="session")
def older_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with DuckDB 1.2, the oldest client that the file format promises, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("older") / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    answer = subprocess.run(
        [*pip, "--no-deps", f"duckdb=={OLDER_DUCKDB}"], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def bound_by_permissions() -> Callable[[], None]:
    """What a child runs first so that file permissions bind it, even as root.

    Dropped from the bounding set, CAP_DAC_OVERRIDE is gone after the exec that follows.
    """

    def drop() -> None:
        capbset_drop, dac_override, dac_read_search = 24, 1, 2
        libc = ctypes.CDLL(None)
        for capability in (dac_override, dac_read_search):
            libc.prctl(capbset_drop, capability, 0, 0, 0)

    return drop


def content_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, so that "unchanged" can be told."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute(
            "SELECT table_name FROM duckdb_tables() ORDER BY table_name"
        ).fetchall()
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
            for (table,) in tables
        }
