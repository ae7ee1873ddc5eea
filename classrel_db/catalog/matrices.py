"""All classes of a model with all: as a matrix, as rows, and how the cosines are distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.catalog.heads import Heads, require_bytes
from classrel_db.maths.distribution import binned_cosines, shuffled
from classrel_db.maths.similarity import block_matrix, block_starts
from classrel_db.records import Order, SimilarityMatrix, StoredModel
from classrel_db.storage import arrays, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.catalog.tree_rows import Columns

_NULL_CLASSES = 3_000  # whose rows are shuffled for a null: 4.5 million pairs


def similarity_matrix(
    reader: Callable[[], DuckDBPyConnection],
    model: StoredModel,
    order: Order,
    places: NDArray[np.int64] | None,
    most: int,
) -> SimilarityMatrix:
    """The matrix of a model's classes in the order of ``places``, or as they are; in ``most`` blocks at
    most."""
    n = model.n_classes
    if places is None:
        places = np.arange(n)
    size = min(n, most)
    require_bytes(
        20 * model.dim * n + 40 * size * size,
        f"the matrix of {n:,} classes",
        "take a head of fewer classes, or a larger machine",
    )
    rows = Heads(reader, None).rows(model)[places]
    starts = block_starts(n, most)
    cosine, euclidean = block_matrix(rows, starts)
    classes = read.stored_classes(reader(), [model.model_id])
    return SimilarityMatrix(
        model=model.name,
        order=order,
        normalization=model.normalization,
        cosine=cosine,
        euclidean=euclidean,
        starts=starts,
        labels=tuple(classes[i].label for i in places.tolist()),
        concepts=tuple(classes[i].concept for i in places.tolist()),
    )


def histogram_columns(
    reader: Callable[[], DuckDBPyConnection], model: StoredModel, seed: int
) -> Columns:
    """The cosines of a model's pairs in bins, and those of shuffled rows, as columns."""
    rows = Heads(reader, None).rows(model)
    found = binned_cosines(rows)
    # equally spaced, for classes near in number are often near in kind
    some = np.linspace(0, len(rows) - 1, min(len(rows), _NULL_CLASSES)).round().astype(int)
    null = binned_cosines(shuffled(rows[some], seed))
    used = np.flatnonzero(found.counts + null.counts)
    bins = np.arange(used[0], used[-1] + 1)
    high = null.quantile(0.975)
    repeated = {
        "n": ("BIGINT", found.pairs),
        "mean": ("DOUBLE", found.mean),
        "null_mean": ("DOUBLE", null.mean),
        "null_high": ("DOUBLE", high),
        "above": ("DOUBLE", found.above(high)),
        "seed": ("BIGINT", seed),
    }
    return {
        "model": ("VARCHAR", [model.name] * len(bins)),
        "low": ("DOUBLE", found.edges[bins].tolist()),
        "high": ("DOUBLE", found.edges[bins + 1].tolist()),
        "pairs": ("BIGINT", found.counts[bins].tolist()),
        "share": ("DOUBLE", (found.counts[bins] / found.pairs).tolist()),
        "null_share": ("DOUBLE", (null.counts[bins] / null.pairs).tolist()),
        **{name: (kind, [value] * len(bins)) for name, (kind, value) in repeated.items()},
    }


def matrix_rows(matrix: SimilarityMatrix) -> DuckDBPyRelation:
    """The same as rows: model, place_a, place_b, class_a, class_b (of a block: its first), classes_a,
    classes_b (how many there are), cosine, euclidean; a < b, and of a block of several also a = b."""
    first, second = np.triu_indices(len(matrix.cosine))
    held = ~np.isnan(matrix.cosine[first, second])
    first, second = first[held], second[held]
    labels = [matrix.labels[start] for start in matrix.starts[:-1].tolist()]
    sizes = np.diff(matrix.starts)
    return arrays.table(
        {
            "model": ("VARCHAR", [matrix.model] * len(first)),
            "place_a": ("INTEGER", matrix.starts[first]),
            "place_b": ("INTEGER", matrix.starts[second]),
            "class_a": ("VARCHAR", [labels[i] for i in first.tolist()]),
            "class_b": ("VARCHAR", [labels[i] for i in second.tolist()]),
            "classes_a": ("INTEGER", sizes[first]),
            "classes_b": ("INTEGER", sizes[second]),
            "cosine": ("FLOAT", matrix.cosine[first, second]),
            "euclidean": ("FLOAT", matrix.euclidean[first, second]),
        }
    )
