"""Heads as points, on the classes that they share, read from the database when they are needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from classrel_db import maths
from classrel_db.errors import ArgumentError, UnknownModelError
from classrel_db.maths.geometry import Geometry
from classrel_db.storage import arrays, comparisons
from classrel_db.text import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import Normalization, StoredModel

_KEPT_BYTES = 1 << 30  # of heads that stay in memory
_LEAST_CACHED, _MOST_CACHED = 32_000_000, 500_000_000  # bytes
_MATRICES = 12  # of n×n in double precision that one comparison may hold at once


class Heads:
    """The rows of models under their own normalisation, or all under one.

    ``memory`` bounds, in bytes, what stays of heads as points, and what DuckDB holds of what it has read.
    """

    def __init__(
        self,
        reader: Callable[[], DuckDBPyConnection],
        normalization: Normalization | None,
        memory: int | None = None,
    ) -> None:
        self._open = reader
        self._normalization = normalization
        self._keeps = _KEPT_BYTES if memory is None else memory // 2
        self._cached = None if memory is None else cached_bytes(memory)
        self._kept: dict[tuple[int, bytes], Geometry] = {}  # the one used last comes last

    def normalization(self, model: StoredModel) -> Normalization:
        """That under which this model's rows are compared."""
        return self._normalization or model.normalization

    def rows(self, model: StoredModel) -> NDArray[np.float32]:
        """The rows of all classes (C×D)."""
        rows = self._stored(model)
        wanted = self.normalization(model)
        if wanted == model.normalization:
            return rows
        again = maths.normalize(self._recovered(model, rows), wanted)
        if not (again.norm > 0).all():
            raise ArgumentError(
                f"a class of {model.name} has no direction left after {wanted!r}; compare it under "
                f"{model.normalization}"
            )
        return again.rows

    def raw(self, model: StoredModel) -> NDArray[np.float32]:
        """The rows of all classes before any normalisation (C×D), to within float32 rounding of the stored
        ones."""
        return self._recovered(model, self._stored(model))

    def _reader(self) -> DuckDBPyConnection:
        if self._cached is None:
            return self._open()
        return comparisons.bound_memory(self._open(), self._cached)

    def _stored(self, model: StoredModel) -> NDArray[np.float32]:
        try:
            return arrays.rows(self._reader(), model)
        except ValueError as error:
            raise UnknownModelError(
                f"the rows of {model.name} are not there as they were: it was removed or replaced in the "
                "meantime; run this again, or see `classrel check`"
            ) from error

    def _recovered(self, model: StoredModel, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        connection = self._reader()
        statistics = arrays.row_statistics(connection, model.model_id)
        center = arrays.center(connection, model.model_id)
        return maths.recover(
            maths.NormalizedHead(model.normalization, rows, center=center, **statistics)
        )

    def cosines(self, model: StoredModel) -> NDArray[np.float32]:
        """The cosines of all pairs a < b of classes (C(C-1)/2,), by a and then b."""
        if self.normalization(model) == model.normalization:
            stored = arrays.pair_cosines(self._reader(), model)
            if stored is not None:
                return stored
        return Geometry(self.rows(model)).pairs

    def geometry(self, model: StoredModel, indices: NDArray[np.int64]) -> Geometry:
        """These classes of a model as points."""
        key = (model.model_id, indices.tobytes())
        found = self._kept.pop(key, None)
        if found is None:
            size = _geometry_bytes(len(indices), model.dim)
            while self._kept and (len(self._kept) + 1) * size > self._keeps:
                del self._kept[next(iter(self._kept))]
            found = Geometry(self.rows(model)[indices], (model.n_classes, model.dim))
        self._kept[key] = found
        return found

    def at_once(self, models: Sequence[StoredModel]) -> int:
        """How many of these models stay as points, at least."""
        size = max((_geometry_bytes(model.n_classes, model.dim) for model in models), default=1)
        return self._keeps // size


def cached_bytes(memory: int) -> int:
    """Of so many bytes, those for what DuckDB has read, which is seldom read again."""
    return min(max(memory // 8, _LEAST_CACHED), _MOST_CACHED)


def _geometry_bytes(n: int, dim: int) -> int:
    """What n classes as points may come to, with all that follows from them."""
    return 8 * n * dim + 28 * n * n


def require_memory(n: int, memory: int | None = None) -> None:
    """Raise ArgumentError where a comparison of n classes would not fit into ``memory``, if bytes are given,
    or into this machine."""
    needs = 8 * n * n * _MATRICES
    if memory is not None and memory < needs:
        raise ArgumentError(
            f"memory is {megabytes(memory)}; comparing {n:,} shared classes takes at least "
            f"{megabytes(needs + 50_000)}: give --memory that much"
        )
    require_bytes(
        needs,
        f"comparing {n:,} shared classes",
        "compare heads that share fewer, or on a larger machine",
    )


def require_bytes(needs: int, what: str, remedy: str) -> None:
    """Raise ArgumentError where ``what`` needs more bytes than this machine has."""
    try:
        has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return  # a system that does not say
    if needs > has:
        raise ArgumentError(
            f"{what} takes about {needs / 2**30:,.0f} GB of memory and this machine has "
            f"{has / 2**30:,.0f}; {remedy}"
        )
