"""One model's rows as Arrow columns, table by table, in blocks of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.scratch import release
from classrel_db.storage.arrow import column, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace

    Columns = dict[str, pa.Array]

_PAIRS_AT_ONCE = 4_000_000  # 48 MB of Arrow; an insert's fixed cost is lost in it
_BYTES_AT_ONCE = 64 << 20  # of rows that may lie on the disk


def class_columns(
    space: LabelSpace,
    bias: NDArray[np.float32] | None,
    statistics: dict[str, NDArray[np.float64]],
) -> Columns:
    """The rows of ``classes``; ``statistics`` holds mean, std, norm and scale, each (C,)."""
    import pyarrow as pa

    n = len(space.labels)
    return {
        "class_idx": column(np.arange(n, dtype=np.int32)),
        "label": texts(space.labels),
        "concept": texts(space.concepts),
        "bias": pa.nulls(n, pa.float32()) if bias is None else column(bias.astype(np.float32)),
        **{name: column(values) for name, values in statistics.items()},
    }


def weight_columns(rows: NDArray[np.float32]) -> Iterator[Columns]:
    """The rows of ``weights``, from C×D normalised rows."""
    import pyarrow as pa

    n, dim = rows.shape
    for block in _blocks(n, 4 * dim):
        yield {
            "class_idx": column(np.arange(block.start, block.stop, dtype=np.int32)),
            "vector": pa.FixedSizeListArray.from_arrays(column(rows[block].reshape(-1)), dim),
        }
        release(rows)


def pair_columns(blocks: Iterable[tuple[int, NDArray[np.float32]]]) -> Iterator[Columns]:
    """The rows of ``pairs`` from the blocks of :func:`classrel_db.maths.cosine_blocks`."""
    for start, cosines in blocks:
        height, width = cosines.shape
        every = np.arange(start, start + width, dtype=np.int32)
        step = max(1, _PAIRS_AT_ONCE // max(1, width))
        for top in range(0, height, step):
            rows = range(top, min(top + step, height))
            lengths = [width - row - 1 for row in rows]
            if not sum(lengths):
                continue
            yield {
                "a": column(np.repeat(every[rows.start : rows.stop], lengths)),
                "b": column(np.concatenate([every[row + 1 :] for row in rows])),
                "cosine": column(np.concatenate([cosines[row, row + 1 :] for row in rows])),
            }


def neighbor_columns(indices: NDArray[np.int32], cosines: NDArray[np.float32]) -> Iterator[Columns]:
    """The rows of ``neighbors`` from C×k indices and cosines, nearest first."""
    n, k = indices.shape
    for block in _blocks(n, 16 * k):
        some = np.arange(block.start, block.stop, dtype=np.int32)
        yield {
            "class_idx": column(np.repeat(some, k)),
            "rank": column(np.tile(np.arange(1, k + 1, dtype=np.int32), len(some))),
            "neighbor_idx": column(indices[block].reshape(-1)),
            "cosine": column(cosines[block].reshape(-1)),
        }
        release(indices, cosines)


def _blocks(n: int, row_bytes: int) -> Iterator[slice]:
    step = max(1, _BYTES_AT_ONCE // row_bytes)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
