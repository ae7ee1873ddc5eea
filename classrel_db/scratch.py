"""Arrays that need not fit into memory: each in a nameless file, which is gone with its process."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LARGE = 256 << 20  # bytes of an array that is kept in memory without a thought


def scratch_array(shape: tuple[int, ...], dtype: str, folder: Path | None) -> NDArray[Any]:
    """An array of zeros in a file of ``folder``, or of the system's folder for such files.

    Raises ArgumentError where the disk has no room for all of it.
    """
    size = np.dtype(dtype).itemsize * math.prod(shape)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(
                    file.fileno(), 0, size
                )  # a full disk is an error here, no crash later
            else:
                file.truncate(size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        shown = f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
        remedy = (
            "name another folder with TMPDIR" if folder is None else "put the database elsewhere"
        )
        raise ArgumentError(
            f"no room for {shown} of passing data in {folder or tempfile.gettempdir()} "
            f"({error.strerror}); make some, or {remedy}"
        ) from error


def release(*arrays: NDArray[Any] | None) -> None:
    """Give back the memory that these arrays, or parts of them, take, where they are on the disk."""
    for array in arrays:
        owner = array
        while owner is not None and not hasattr(owner, "_mmap"):
            owner = getattr(owner, "base", None)  # of a part, or of the same in another shape
        mapped = getattr(owner, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
