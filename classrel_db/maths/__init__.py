"""The mathematics as pure functions, numpy in and numpy out.

Matrix letters, here and in the docstrings: ``W`` C×D, one row per class; ``C`` classes, ``D``
embedding dimensions, ``k`` neighbours.

Two rounding rules make every answer repeatable. Stored rows are float32; cosines are computed from
those rows in float64 and rounded to float32 once, so that the matrix product, a search index and a
single dot product agree to the last bit, whatever the block size or the number of threads. Equal
cosines are ranked by class index.
"""

from classrel_db.maths.normalize import (
    NormalizedHead,
    faulty_rows,
    normalize,
    normalize_vector,
    recover,
)
from classrel_db.maths.similarity import cosine_blocks, cosines_to, euclidean, exact_neighbors, unit

__all__ = [
    "NormalizedHead",
    "cosine_blocks",
    "cosines_to",
    "euclidean",
    "exact_neighbors",
    "faulty_rows",
    "normalize",
    "normalize_vector",
    "recover",
    "unit",
]
