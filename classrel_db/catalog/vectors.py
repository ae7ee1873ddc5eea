"""Questions about directions that are no stored class: these go to the vector index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db import maths
from classrel_db.errors import ArgumentError
from classrel_db.storage import arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import ArrayLike, NDArray

    from classrel_db.catalog.algebra import Term
    from classrel_db.records import StoredModel
    from classrel_db.storage.index import IndexCache, VectorIndex

# Asked of the index beyond what is wanted, so that its rounding rarely needs a second look.
_SPARE_CANDIDATES = 28
_KEPT_HEADS = 8  # whose unit rows stay in memory between questions


def nearest_rows(
    index: VectorIndex,
    unit_rows: NDArray[np.float64],
    queries: NDArray[np.float64],
    k: int,
    barred: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` rows nearest to each of n×D unit queries but for its ``barred`` (n×e) ones.

    The index proposes, the float64 cosines decide: (indices n×k, cosines n×k), nearest first.
    """
    candidates = index.search(queries, k + barred.shape[1] + _SPARE_CANDIDATES)
    return maths.exact_neighbors(unit_rows, queries, candidates, k, barred)


class VectorSearch:
    """Nearest classes to any vector, over one connection and its index files."""

    def __init__(self, connection: DuckDBPyConnection, indexes: IndexCache) -> None:
        self._connection = connection
        self._indexes = indexes
        self._rows: dict[int, NDArray[np.float64]] = {}

    def prototype(
        self, model: StoredModel, terms: Sequence[Term], indices: Sequence[int]
    ) -> NDArray[np.float64]:
        """The signed sum of the classes' normalised rows, normalised as the model's rows are.

        Raises ArgumentError where nothing is left of the sum.
        """
        rows = arrays.rows(self._connection, model)[list(indices)].astype(np.float64)
        total = np.asarray([term.sign for term in terms], dtype=np.float64) @ rows
        # a sum of centred rows is centred: only its length is still to be set
        return self._normalized(model, total, center=None)

    def raw_vector(self, model: StoredModel, vector: ArrayLike) -> NDArray[np.float64]:
        """A vector (D,) of the model's own feature space, normalised as the model's rows are.

        Raises ArgumentError for another shape, NaN, Inf, or nothing left to normalise.
        """
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != (model.dim,):
            raise ArgumentError(
                f"the vector has shape {values.shape}; {model.name} takes ({model.dim},)"
            )
        return self._normalized(model, values, arrays.center(self._connection, model.model_id))

    def nearest(
        self, model: StoredModel, vector: NDArray[np.float64], k: int, excluded: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """(class indices, cosines, Euclidean distances) of the ``k`` nearest, nearest first."""
        unit_rows = self._unit_rows(model)
        index = self._indexes.get(model.rows_sha256, unit_rows.shape, lambda: unit_rows)
        query = maths.unit(vector)[None]
        barred = np.asarray(sorted(set(excluded)), dtype=np.int64)[None]
        indices, cosines = nearest_rows(index, unit_rows, query, k, barred)
        norms = arrays.norms(self._connection, model.model_id)[indices[0]]
        length = float(np.linalg.norm(vector))
        return indices[0], cosines[0], maths.euclidean(cosines[0], length, norms)

    def _unit_rows(self, model: StoredModel) -> NDArray[np.float64]:
        if model.model_id not in self._rows:
            if len(self._rows) == _KEPT_HEADS:
                del self._rows[next(iter(self._rows))]
            self._rows[model.model_id] = maths.unit(arrays.rows(self._connection, model))
        return self._rows[model.model_id]

    @staticmethod
    def _normalized(model: StoredModel, vector: NDArray[Any], center: Any) -> NDArray[np.float64]:
        try:
            return maths.normalize_vector(vector, model.normalization, center)
        except ValueError as error:
            raise ArgumentError(
                f"{error}; there is nothing to compare {model.name} with"
            ) from error
