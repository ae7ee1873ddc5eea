"""The mathematics as pure functions, numpy in and numpy out.

Matrix letters, here and in the docstrings: ``W`` C×D, one row per class; ``C`` classes, ``D``
embedding dimensions, ``k`` neighbours.

Two rules make every answer repeatable. Stored rows are float32; cosines are computed from those rows
in float64, rounded to a grid of 2^-40 and then once to float32, so that a matrix product, a search
index and a single dot product agree whatever the block size or the number of threads (a cosine that
lies within 1e-16 of a rounding boundary could still fall either way). Equal cosines are ranked by
class index.
"""

from classrel_db.maths.normalize import (
    NormalizedHead,
    faulty_rows,
    normalize,
    normalize_vector,
    recover,
    row_blocks,
)
from classrel_db.maths.similarity import cosine_blocks, cosines_to, euclidean, exact_neighbors, unit
from classrel_db.maths.support import dimension_support, near_by_cosine, neighbor_support

__all__ = [
    "NormalizedHead",
    "cosine_blocks",
    "cosines_to",
    "dimension_support",
    "euclidean",
    "exact_neighbors",
    "faulty_rows",
    "near_by_cosine",
    "neighbor_support",
    "normalize",
    "normalize_vector",
    "recover",
    "row_blocks",
    "unit",
]
