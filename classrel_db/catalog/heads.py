"""Heads as points, on the classes that they share, read from the database when they are needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from classrel_db import maths
from classrel_db.errors import ArgumentError, UnknownModelError
from classrel_db.maths.geometry import Geometry
from classrel_db.storage import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import Normalization, StoredModel

_KEPT_BYTES = 1 << 30  # of heads that stay in memory
_MATRICES = 12  # of n×n in double precision that one comparison may hold at once


class Heads:
    """The rows of models under their own normalisation, or all under one."""

    def __init__(
        self, reader: Callable[[], DuckDBPyConnection], normalization: Normalization | None
    ) -> None:
        self._reader = reader
        self._normalization = normalization
        self._kept: dict[tuple[int, bytes], Geometry] = {}

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
        if key not in self._kept:
            size = 8 * len(indices) * (model.dim + len(indices))
            if len(self._kept) * size > _KEPT_BYTES:
                self._kept = {}
            self._kept[key] = Geometry(self.rows(model)[indices], (model.n_classes, model.dim))
        return self._kept[key]


def require_memory(n: int) -> None:
    """Raise ArgumentError where a comparison of n classes would not fit into this machine."""
    require_bytes(
        8 * n * n * _MATRICES,
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
