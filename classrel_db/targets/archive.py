"""Arrays as one .npz file that opens without pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray


def write_npz(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Arrays of numbers and of text under their names. Raises ValueError for one of Python objects."""
    with file.open("wb") as output:  # numpy would give a name without the ending one
        np.savez(output, allow_pickle=False, **arrays)
