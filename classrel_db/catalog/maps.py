"""Maps of classes as columns, with what they keep of the model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from classrel_db import maths
from classrel_db.catalog.heads import Heads, require_bytes
from classrel_db.catalog.vectors import is_exact
from classrel_db.errors import ArgumentError, ClassrelWarning, MissingExtraError
from classrel_db.maths.projection import LEAST_UMAP, principal_coordinates, trust, umap_points
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.tree_rows import Columns
    from classrel_db.records import Projection, StoredModel

_NEAR = 10  # classes that are looked at beside each, to say what the map keeps


def map_rows(
    reader: Callable[[], DuckDBPyConnection], model: StoredModel, by: Projection, seed: int
) -> Columns:
    """The classes of a model as points in the plane, as columns."""
    require_bytes(
        3 * 8 * model.n_classes * model.dim,
        f"a map of {model.n_classes:,} classes",
        "take a head of fewer classes, or a larger machine",
    )
    U = maths.unit(Heads(reader, None).rows(model))
    points, shares = (
        principal_coordinates(U) if by == "mds" else (_by_umap(model, U, seed), [None, None])
    )
    k = min(_NEAR, (len(U) - 1) // 2)
    found = trust(U, points, k) if k and is_exact(len(U)) else None
    if k and found is None:
        warnings.warn(
            f"{model.name}: what the map keeps of the nearest classes is not measured of so many",
            ClassrelWarning,
            stacklevel=3,
        )
    classes = read.stored_classes(reader(), [model.model_id])
    n = len(classes)
    return {
        "model": ("VARCHAR", [model.name] * n),
        "class_idx": ("INTEGER", [each.index for each in classes]),
        "class": ("VARCHAR", [each.label for each in classes]),
        "concept": ("VARCHAR", [each.concept for each in classes]),
        "x": ("DOUBLE", points[:, 0].tolist()),
        "y": ("DOUBLE", points[:, 1].tolist()),
        "kept": ("DOUBLE", found.kept.tolist() if found else [None] * n),
        "method": ("VARCHAR", [by] * n),
        "seed": ("BIGINT", [seed if by == "umap" else None] * n),
        "explained_x": ("DOUBLE", [shares[0]] * n),
        "explained_y": ("DOUBLE", [shares[1]] * n),
        "trustworthiness": ("DOUBLE", [found.trustworthiness if found else None] * n),
        "k": ("INTEGER", [found.k if found else None] * n),
    }


def _by_umap(model: StoredModel, U: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    if len(U) < LEAST_UMAP:
        raise ArgumentError(
            f"{model.name} has {len(U)} classes; UMAP lays out {LEAST_UMAP} or more: take mds"
        )
    try:
        points, parts = umap_points(U, seed)
    except ImportError as error:
        raise MissingExtraError(
            'a map by umap needs the package umap-learn; pip install "classrel-db[map]" brings it (in a '
            'clone: .venv/bin/pip install -e ".[map]")'
        ) from error
    if parts > 1:
        warnings.warn(
            f"{model.name}: what is near to what falls into {parts} parts that nothing joins; how these lie "
            "to each other on the map means nothing",
            ClassrelWarning,
            stacklevel=4,
        )
    return points
