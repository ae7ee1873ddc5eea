"""``similar`` with support: is a neighbour robust, or a fluke of some dimensions or of the normalisation?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db import maths
from classrel_db.catalog.heads import require_bytes
from classrel_db.catalog.vectors import signed_sum
from classrel_db.records import NORMALIZATIONS, Step
from classrel_db.storage import arrays, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.maths import NormalizedHead
    from classrel_db.records import Focal, Progress


def with_support(
    connection: DuckDBPyConnection,
    rows: DuckDBPyRelation,
    asked: Sequence[Focal],
    resamples: int,
    seed: int,
    progress: Progress | None,
) -> DuckDBPyRelation:
    """The rows of ``similar`` with two more columns, both shares in [0, 1].

    ``support``: of ``resamples`` bootstrap resamples of the model's dimensions, those in which the
    neighbour is still among the k nearest. ``normalizations``: of the three normalisations of the raw
    head, those in which it is. NULL for the class itself, and ``support`` where no resample can tell.
    """
    held = arrays.kept(rows)
    listed = held.project("model, rank, neighbor_concept").fetchall()
    support: list[float | None] = [None] * len(listed)
    agreement: list[float | None] = [None] * len(listed)
    for focal in asked:
        numbers = [
            number
            for number, (model, rank, _) in enumerate(listed)
            if model == focal.model.name and rank > 0
        ]
        if not numbers:
            continue
        concepts = [listed[number][2] for number in numbers]
        found = read.indices_of(connection, focal.model.model_id, concepts)
        members = np.asarray([found[concept] for concept in concepts], dtype=np.int64)
        head = _head(connection, focal)
        shares = _shares_of_resamples(head, focal, members, resamples, seed, progress)
        for number, share, agreed in zip(
            numbers, shares, _shares_of_normalizations(head, focal, members), strict=True
        ):
            support[number] = None if np.isnan(share) else float(share)
            agreement[number] = float(agreed)
    return arrays.with_shares(connection, held, {"support": support, "normalizations": agreement})


def _shares_of_resamples(
    head: NormalizedHead,
    focal: Focal,
    members: NDArray[np.int64],
    resamples: int,
    seed: int,
    progress: Progress | None,
) -> NDArray[np.float64]:
    def step(done: int) -> None:
        if progress is not None:
            progress(Step(focal.model.name, "support", done, resamples))

    return maths.dimension_support(
        head.rows,
        _direction(head, focal),
        members,
        len(members),
        standardized=head.method == "standardize",
        allowed=_competing(focal),
        resamples=resamples,
        seed=seed,
        progress=step,
    )


def _shares_of_normalizations(
    head: NormalizedHead, focal: Focal, members: NDArray[np.int64]
) -> NDArray[np.float64]:
    """By the model's own normalisation the members are the nearest: the other two are asked."""
    agreeing = np.ones(len(members))
    raw = maths.recover(head)
    for method in NORMALIZATIONS:
        if method == head.method:
            continue
        other = maths.normalize(raw, method)
        try:
            direction = _direction(other, focal)
        except ValueError:  # nothing is left of it, so nothing is near it
            continue
        agreeing += maths.near_by_cosine(
            other.rows, direction, members, len(members), _competing(focal)
        )
    return agreeing / len(NORMALIZATIONS)


def _direction(head: NormalizedHead, focal: Focal) -> NDArray[np.float64]:
    """What was asked about, as it lies among the rows of ``head`` (D,).

    Raises ValueError where this normalisation leaves nothing of it.
    """
    if focal.vector is not None:
        vector = np.asarray(focal.vector, dtype=np.float64)
        return maths.normalize_vector(vector, head.method, head.center)
    signs, indices = (list(part) for part in zip(*focal.terms, strict=True))
    rows = head.rows[indices].astype(np.float64)
    return rows[0] if len(signs) == 1 else signed_sum(signs, rows)


def _competing(focal: Focal) -> NDArray[np.int64]:
    """The classes that may answer, rising; a class by itself is not its own neighbour."""
    allowed = np.asarray(focal.allowed, dtype=np.int64)
    return allowed[allowed != focal.terms[0][1]] if len(focal.terms) == 1 else allowed


def _head(connection: DuckDBPyConnection, focal: Focal) -> NormalizedHead:
    model = focal.model
    require_bytes(
        32 * model.n_classes * model.dim,
        f"the support of neighbours among {model.n_classes:,} classes",
        "leave --support out, or take a larger machine",
    )
    return maths.NormalizedHead(
        method=model.normalization,
        rows=arrays.rows(connection, model),
        center=arrays.center(connection, model.model_id),
        **arrays.row_statistics(connection, model.model_id),
    )
