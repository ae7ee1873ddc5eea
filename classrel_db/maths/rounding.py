"""What weights that were rounded for storage leave uncertain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.normalize import NormalizedHead


def weight_error(head: NormalizedHead, rounding: NDArray[np.float64]) -> float:
    """The largest share of a raw row's length that the error of the row may have, from 0 on.

    ``rounding`` (C,) bounds the Euclidean length of each raw row's error.
    """
    dim = head.rows.shape[1]
    lengths = np.sqrt(dim * head.mean**2 + (dim - 1) * head.std**2)
    return float((rounding / lengths).max())


def cosine_error(head: NormalizedHead, rounding: NDArray[np.float64]) -> float:
    """The most that any cosine of the normalised rows can be away from what it was before the weights
    were rounded, in [0, 2].

    ``rounding`` (C,) bounds the Euclidean length of each raw row's error. Normalising first subtracts:
    the mean of the row (``standardize``), which is a projection and makes no error longer, or the mean
    over classes (``center``), which brings 1/C of every row's error. An error e then turns a row of
    length l > e by asin(e/l) at most, any other by anything. The angle of two rows changes by no more
    than both turn, and |cos x - cos y| ≤ 2 sin(|x - y|/2).
    """
    error = rounding
    if head.method == "center":
        error = (1 - 2 / len(rounding)) * rounding + rounding.mean()
    lengths = head.norm * head.scale
    turned = np.full(len(rounding), np.pi)
    within = error < lengths
    turned[within] = np.arcsin(error[within] / lengths[within])
    change = np.sort(turned)[-2:].sum()
    return float(2 * np.sin(min(change, np.pi) / 2))
