"""Two models class by class: where they disagree, and who plays whose part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.catalog.arguments import require_count
from classrel_db.errors import ArgumentError
from classrel_db.maths import cosines_to, unit
from classrel_db.maths.profiles import profile_agreement, twin_places
from classrel_db.records import Step
from classrel_db.storage import read
from classrel_db.storage.index import VectorIndex

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.comparing import Comparing
    from classrel_db.records import Progress, StoredClass, StoredModel

Columns = dict[str, tuple[str, list[Any]]]
"""Columns of an answer: DuckDB's type and the values."""

_LISTED_NEIGHBORS = 10


def disagreement(
    connection: DuckDBPyConnection,
    comparing: Comparing,
    a: StoredModel,
    b: StoredModel,
    *,
    k: int | None,
    near: int | None,
    permutations: int,
    seed: int,
    tell: Progress,
) -> Columns:
    """The ``k`` classes whose profiles agree least, all where None, the least alike first."""
    from scipy.stats import false_discovery_control

    pair = comparing.pair(a, b)
    shared = comparing.shared(a, b)
    n = len(shared)
    wanted = (
        min(20, n)
        if k is None
        else require_count("k", k, 1, n, f"shared classes of {a.name} and {b.name}")
    )
    most = n - 2
    if near is None:
        near = min(_LISTED_NEIGHBORS, (n - 1) // 2)
    near = require_count(
        "near", near, 1, most, f"neighbours among the {n:,} shared classes, but one"
    )
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        tell(Step(f"{a.name}, {b.name}", "classes", done, permutations))

    found, p = profile_agreement(pair, permutations, seed, step)
    q = np.full(n, np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    order = np.lexsort((np.arange(n), np.where(np.isfinite(found), found, np.inf)))[:wanted]
    concepts = read.labels_at(connection, a.model_id, shared.a.tolist())
    labels = [label for label, _ in concepts]
    before, after = (pair.a, pair.b) if comparing.is_first(a, b) else (pair.b, pair.a)

    def names(classes: list[int]) -> list[str]:
        return [labels[each] for each in classes]

    rows = []
    for place, index in enumerate(order.tolist(), 1):
        there, here = before.order[index, :near].tolist(), after.order[index, :near].tolist()
        kept = len(set(there) & set(here))
        rows.append(
            (
                place,
                labels[index],
                concepts[index][1],
                _number(found[index]),
                _number(p[index]),
                _number(q[index]),
                kept / (2 * near - kept),
                names([each for each in here if each not in there]),
                names([each for each in there if each not in here]),
            )
        )
    columns = list(zip(*rows, strict=True))
    size = len(rows)
    return {
        "model_a": ("VARCHAR", [a.name] * size),
        "model_b": ("VARCHAR", [b.name] * size),
        "rank": ("INTEGER", list(columns[0])),
        "class": ("VARCHAR", list(columns[1])),
        "concept": ("VARCHAR", list(columns[2])),
        "n": ("INTEGER", [n] * size),
        "correlation": ("DOUBLE", list(columns[3])),
        "p_value": ("DOUBLE", list(columns[4])),
        "q_value": ("DOUBLE", list(columns[5])),
        "jaccard": ("DOUBLE", list(columns[6])),
        "gained": ("VARCHAR[]", list(columns[7])),
        "lost": ("VARCHAR[]", list(columns[8])),
    }


def counterparts(
    connection: DuckDBPyConnection,
    comparing: Comparing,
    focal: StoredClass,
    a: StoredModel,
    b: StoredModel,
    k: int | None,
) -> Columns:
    """The classes of B nearest to a class of A by their cosines with the anchors, nearest first.

    The class's own twin is no anchor. Also how many anchors there are, and the share of the shared
    classes that find their twin first when it is left out of the anchors.
    """
    shared = comparing.shared(a, b)
    n = len(shared)
    wanted = (
        min(10, b.n_classes)
        if k is None
        else require_count("k", k, 1, b.n_classes, f"classes of {b.name}")
    )
    unit_a = unit(comparing.heads.rows(a))
    unit_b = unit(comparing.heads.rows(b))
    anchors_a, anchors_b = unit_a[shared.a], unit_b[shared.b]
    anchored = cosines_to(unit_b, anchors_b)
    # the twins' rows come first: twin_places asks for that
    rest = np.setdiff1d(np.arange(b.n_classes), shared.b)
    places = twin_places(
        cosines_to(anchors_a, anchors_a), anchored[np.concatenate([shared.b, rest])]
    )
    own = np.flatnonzero(shared.a == focal.index)
    kept = np.setdiff1d(np.arange(n), own)
    query = cosines_to(unit_a[focal.index][None], anchors_a[kept])
    # what is orthogonal to every anchor has no place among them
    if not query.any():
        raise ArgumentError(
            f"{focal.label} of {a.name} is orthogonal to all {len(kept):,} anchors, and so has no place "
            "among them"
        )
    placed = np.flatnonzero(anchored[:, kept].any(axis=1))
    space = unit(anchored[placed][:, kept])
    among, similar = _nearest(space, unit(query), min(wanted, len(placed)))
    found = placed[among]
    named = read.labels_at(connection, b.model_id, found.tolist())
    twin = int(shared.b[own[0]]) if len(own) else None
    size = len(found)
    return {
        "model_a": ("VARCHAR", [a.name] * size),
        "class": ("VARCHAR", [focal.label] * size),
        "model_b": ("VARCHAR", [b.name] * size),
        "rank": ("INTEGER", list(range(1, size + 1))),
        "counterpart": ("VARCHAR", [label for label, _ in named]),
        "counterpart_concept": ("VARCHAR", [concept for _, concept in named]),
        "similarity": ("DOUBLE", [float(each) for each in similar]),
        "same_concept": ("BOOLEAN", [None if twin is None else int(i) == twin for i in found]),
        "anchors": ("INTEGER", [len(kept)] * size),
        "accuracy": ("DOUBLE", [float((places == 1).mean())] * size),
        "accuracy_5": ("DOUBLE", [float((places <= 5).mean())] * size),
    }


def _nearest(
    space: NDArray[np.float64], query: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` rows of the common space nearest to the query: the index proposes, float64 decides."""
    from classrel_db.catalog.vectors import nearest_rows

    barred = np.empty((1, 0), dtype=np.int64)
    (found,), (similar,) = nearest_rows(VectorIndex.build(space), space, query, k, barred)
    return found, similar


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
