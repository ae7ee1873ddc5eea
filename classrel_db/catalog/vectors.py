"""Questions about directions that are no stored class: these go to the vector index."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db import maths
from classrel_db.errors import ArgumentError
from classrel_db.maths.lists import nearest_in_blocks
from classrel_db.scratch import LARGE
from classrel_db.storage import arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyRelation
    from numpy.typing import ArrayLike, NDArray

    from classrel_db.records import Focal, StoredModel
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache, VectorIndex

EXACT_LIMIT = 30_000  # classes; beyond, every class is held against the nearest lists alone

# Asked of the index beyond what is wanted, so that its rounding rarely needs a second look.
_SPARE_CANDIDATES = 28
# Proposed by an approximate index for each that is wanted: its rounding may have them in another order.
_WIDER = 4
_LEAST_PROPOSED = 100
_KEPT_BYTES = 512 << 20  # of heads that stay in memory between questions


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


def signed_sum(signs: Sequence[int], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum (D,) of normalised rows n×D, each by its sign. Raises ValueError where they cancel out."""
    total: NDArray[np.float64] = np.asarray(signs, dtype=np.float64) @ rows
    if not np.abs(total).max() > 1e-6 * np.abs(rows).max():
        raise ValueError("the classes cancel out")
    return total


def is_exact(n_classes: int) -> bool:
    """Whether every class of a head is held against every other, unasked."""
    return n_classes <= EXACT_LIMIT


def is_large(model: StoredModel) -> bool:
    """Whether a head is worked on block by block: its rows stay on the disk when it is asked."""
    return not is_exact(model.n_classes) or 4 * model.n_classes * model.dim > LARGE


def _barred(model: StoredModel, allowed: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that may not answer, rising."""
    inside = np.zeros(model.n_classes, dtype=bool)
    inside[allowed] = True
    return np.flatnonzero(~inside)


@dataclass(frozen=True, slots=True)
class _Loaded:
    unit_rows: NDArray[np.float64]
    norms: NDArray[np.float64]
    index: VectorIndex


class VectorSearch:
    """Nearest classes to any vector, in one state of the database."""

    def __init__(self, database: Database, indexes: IndexCache) -> None:
        self._database = database
        self._indexes = indexes
        self._heads: dict[int, _Loaded] = {}
        self._large_indexes: dict[int, VectorIndex | None] = {}
        self._lock = threading.Lock()

    def near_sum(self, focal: Focal, k: int) -> arrays.Answer:
        """The ``k`` of the allowed classes nearest to the signed sum of classes' normalised rows.

        The sum is normalised as the model's rows are. Raises ArgumentError where nothing is left of the sum.
        """
        model = focal.model
        signs, chosen = (list(part) for part in zip(*focal.terms, strict=True))
        if is_large(model):
            rows = arrays.rows_at(self._database.reader(), model, chosen).astype(np.float64)
        else:
            head = self._load(model)
            rows = head.unit_rows[chosen] * head.norms[chosen, None]
        try:
            total = signed_sum(signs, rows)
        except ValueError as error:
            raise ArgumentError(
                f"nothing is left of that sum in {model.name}: its classes cancel out"
            ) from error
        # a sum of centred rows is centred: only its length is still to be set
        return self._nearest(model, self._normalized(model, total, None), k, focal.allowed)

    def near_vector(
        self, model: StoredModel, vector: ArrayLike, k: int, among: Sequence[int]
    ) -> arrays.Answer:
        """The ``k`` of the classes ``among`` nearest to a vector (D,) of the model's raw features.

        Raises ArgumentError for another shape, NaN, Inf, or nothing left to normalise.
        """
        try:
            values = np.asarray(vector, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"the vector is not made of numbers: {error}") from error
        if values.shape != (model.dim,):
            raise ArgumentError(
                f"the vector has shape {values.shape}; {model.name} takes ({model.dim},)"
            )
        center = arrays.center(self._database.reader(), model.model_id)
        return self._nearest(model, self._normalized(model, values, center), k, among)

    def answer(self, asked: str, found: Sequence[arrays.Answer]) -> DuckDBPyRelation:
        """The rows of these answers, with the columns of the ``neighbors`` macro."""
        return arrays.answers(self._database.reader(), asked, found)

    def _nearest(
        self, model: StoredModel, vector: NDArray[np.float64], k: int, among: Sequence[int]
    ) -> arrays.Answer:
        query = maths.unit(vector)
        allowed = np.asarray(among, dtype=np.int64)
        near = self._near_large if is_large(model) else self._near
        indices, cosines, norms = near(model, query, k, allowed)
        length = float(np.linalg.norm(vector))
        return arrays.Answer(model, indices, cosines, maths.euclidean(cosines, length, norms))

    def _near(
        self, model: StoredModel, query: NDArray[np.float64], k: int, allowed: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """The ``k`` allowed classes nearest to a unit vector, their cosines, and the norms of their rows."""
        head, one = self._load(model), query[None]
        barred = _barred(model, allowed)[None]
        if barred.shape[1] <= _SPARE_CANDIDATES:
            (indices,), (cosines,) = nearest_rows(head.index, head.unit_rows, one, k, barred)
        else:  # the index can't be asked for a part of its rows
            everyone = np.arange(len(allowed))[None]
            (found,), (cosines,) = maths.exact_neighbors(head.unit_rows[allowed], one, everyone, k)
            indices = allowed[found]
        return indices, cosines, head.norms[indices]

    def _near_large(
        self, model: StoredModel, query: NDArray[np.float64], k: int, allowed: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """The same of a head whose rows stay on the disk: by its index, else from all of its rows."""
        connection = self._database.reader()
        barred = _barred(model, allowed)
        index = None
        if len(barred) <= _SPARE_CANDIDATES:
            index = self._stored_index(model)
        if index is not None:
            (found,) = index.search(query[None], _WIDER * k + _LEAST_PROPOSED)
            proposed = np.setdiff1d(found[found >= 0], barred)
            if len(proposed) >= k:
                rows = arrays.rows_at(connection, model, proposed.tolist())
                return nearest_in_blocks(query, [(proposed, rows)], k)
        blocks = (
            (indices[inside], rows[inside])
            for indices, rows in arrays.row_blocks(connection, model)
            if (inside := np.isin(indices, allowed)).any()
        )
        return nearest_in_blocks(query, blocks, k)

    def _stored_index(self, model: StoredModel) -> VectorIndex | None:
        with self._lock:
            if model.model_id not in self._large_indexes:
                shape = (model.n_classes, model.dim)
                self._large_indexes = {
                    model.model_id: self._indexes.stored(model.rows_sha256, shape)
                }
            return self._large_indexes[model.model_id]

    def _load(self, model: StoredModel) -> _Loaded:
        with self._lock:
            return self._loaded(model)

    def _loaded(self, model: StoredModel) -> _Loaded:
        if model.model_id not in self._heads:
            connection = self._database.reader()
            unit_rows = maths.unit(arrays.rows(connection, model))
            index = self._indexes.get(model.rows_sha256, unit_rows.shape, lambda: unit_rows)
            norms = arrays.norms(connection, model.model_id)
            kept = sum(head.unit_rows.nbytes for head in self._heads.values())
            if kept + unit_rows.nbytes > _KEPT_BYTES:
                self._heads = {}
            self._heads[model.model_id] = _Loaded(unit_rows, norms, index)
        return self._heads[model.model_id]

    @staticmethod
    def _normalized(
        model: StoredModel, vector: NDArray[np.float64], center: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        try:
            return maths.normalize_vector(vector, model.normalization, center)
        except ValueError as error:
            raise ArgumentError(
                f"{error}; there is nothing to compare {model.name} with"
            ) from error
