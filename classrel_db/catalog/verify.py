"""``check``: is what the database says of each model still so?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from classrel_db import maths
from classrel_db.catalog.ingest import add_content, concepts_hash, content_hash
from classrel_db.catalog.vectors import is_large
from classrel_db.maths.trees.tree import tree_of
from classrel_db.records import NORMALIZATIONS, Finding
from classrel_db.storage import arrays, read, schema, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import StoredModel
    from classrel_db.storage.index import IndexCache

_SAMPLED_CLASSES = 16
_COSINE_TOLERANCE = 1e-7  # one unit in the last place of a float32 cosine
_RECALL_MARGIN = 0.2  # by which the recall of a few classes may lie below that of many


def findings(connection: DuckDBPyConnection, indexes: IndexCache) -> Iterator[Finding]:
    """Every check of the database and of each model in it."""
    altered = schema.altered_definitions(connection)
    yield Finding(
        "",
        "definitions",
        not altered,
        f"not as this classrel defines them: {', '.join(altered)}; the next ingest renews them"
        if altered
        else "the views and macros are those of this classrel",
    )
    strays = read.rows_without_model(connection)
    yield Finding("", "strays", not strays, "; ".join(strays) or "every row belongs to a model")
    for model in read.stored_models(connection):
        yield from _model_findings(connection, model, indexes)


def _model_findings(
    connection: DuckDBPyConnection, model: StoredModel, indexes: IndexCache
) -> Iterator[Finding]:
    """The checks of one model; those that build on a failed one are left out."""

    def tried(check: str, look: Callable[[], str]) -> Finding:
        """``look`` returns what it found in order, or raises ValueError for what is not."""
        try:
            return Finding(model.name, check, True, look())
        except ValueError as error:
            return Finding(model.name, check, False, str(error))

    large = _Large(connection, model) if is_large(model) else None
    for check, look in (
        ("counts", lambda: _counts(connection, model)),
        ("classes", lambda: _classes(connection, model)),
        ("weights", lambda: large.weights() if large else _weights(connection, model)),
    ):
        finding = tried(check, look)
        yield finding
        if not finding.ok:
            return
    if large is not None:
        yield tried("norms", large.norms)
        if model.n_pairs:
            yield tried("pairs", large.pairs)
        yield tried("neighbors", large.neighbors)
    else:
        rows = arrays.rows(connection, model)
        unit_rows = maths.unit(rows)
        yield tried("norms", lambda: _norms(connection, model, rows))
        yield tried("neighbors", lambda: _neighbors(connection, model, unit_rows))
        if model.n_pairs:
            yield tried("pairs", lambda: _pairs(connection, model, unit_rows))
    yield tried("index", lambda: _index(model, indexes))
    if trees.stored_trees(connection, model):
        yield tried("trees", lambda: _trees(connection, model))


class _Large:
    """The checks of a large head: in one pass over its rows and one over its neighbours."""

    def __init__(self, connection: DuckDBPyConnection, model: StoredModel) -> None:
        self._connection = connection
        self._model = model
        self._sample = _sample(model)
        self._cosines = np.empty((len(self._sample), model.n_classes), dtype=np.float32)
        self._norms = np.empty(model.n_classes)

    def weights(self) -> str:
        model, done = self._model, 0
        sampled = maths.unit(arrays.rows_at(self._connection, model, self._sample.tolist()))
        digest = hashlib.sha256(repr((model.n_classes, model.dim)).encode())
        for indices, rows in arrays.row_blocks(self._connection, model):
            block = slice(done, done + len(rows))
            if not np.array_equal(indices, np.arange(block.start, block.stop)):
                raise ValueError("the rows are not in the order of the classes")
            add_content(digest, rows)
            self._norms[block] = np.linalg.norm(rows.astype(np.float64), axis=1)
            self._cosines[:, block] = maths.cosines_to(sampled, maths.unit(rows))
            done = block.stop
        return _same_rows(digest.hexdigest(), model)

    def norms(self) -> str:
        worst = _largest(arrays.norms(self._connection, self._model.model_id) / self._norms - 1)
        return _within(worst, 1e-9, "each norm computed anew")

    def neighbors(self) -> str:
        model, done, last = self._model, 0, np.float32(1)
        k = min(read.STORED_NEIGHBORS, model.n_classes - 1)
        listed = np.full((len(self._sample), k), -1)
        stored = np.full((len(self._sample), k), np.nan, dtype=np.float32)
        for part in arrays.neighbor_blocks(self._connection, model):
            places = np.arange(done, done + len(part["rank"]))
            ranks, done = places % k, done + len(places)
            before = np.concatenate([[last], part["cosine"][:-1]])
            faulty = (
                (part["class_idx"] != places // k)
                | (part["rank"] != ranks + 1)
                | (part["neighbor_idx"] < 0)
                | (part["neighbor_idx"] >= model.n_classes)
                | (part["neighbor_idx"] == part["class_idx"])
                | ~(np.abs(part["cosine"]) <= 1)
                | (ranks > 0) & (part["cosine"] > before)
            )
            if faulty.any():
                first = part["class_idx"][faulty.argmax()]
                raise ValueError(f"class {first:,} has neighbours that are none, or out of order")
            last = part["cosine"][-1]
            rows = np.searchsorted(self._sample, part["class_idx"])
            inside = self._sample[np.minimum(rows, len(self._sample) - 1)] == part["class_idx"]
            listed[rows[inside], ranks[inside]] = part["neighbor_idx"][inside]
            stored[rows[inside], ranks[inside]] = part["cosine"][inside]
        there = np.take_along_axis(self._cosines, listed, axis=1)
        said = _within(
            _largest(there - stored),
            _COSINE_TOLERANCE,
            f"the neighbours of {len(self._sample)} classes computed anew",
        )
        self._cosines[np.arange(len(self._sample)), self._sample] = -np.inf
        nearest = -np.sort(-self._cosines, axis=1)[:, :k]
        for at, then in ((min(10, k), model.recall_low), (k, model.recall_all)):
            worst = nearest[:, at - 1, None] - _COSINE_TOLERANCE
            recall = float((stored[:, :at] >= worst).mean())
            said += f"; {recall:.1%} of their {at} nearest are stored"
            if recall < then - _RECALL_MARGIN:
                raise ValueError(f"{said}, {then:.1%} were: ingest the head again with --replace")
        return said

    def pairs(self) -> str:
        _require_sound_pairs(self._connection, self._model)
        worst = 0.0
        for row, class_idx in enumerate(self._sample):
            stored = arrays.stored_cosines(self._connection, self._model, int(class_idx))
            stored[class_idx] = self._cosines[row, class_idx]
            worst = max(worst, _largest(stored - self._cosines[row]))
        return _within(worst, _COSINE_TOLERANCE, f"{len(self._sample)} classes computed anew")


def _counts(connection: DuckDBPyConnection, model: StoredModel) -> str:
    k = min(read.STORED_NEIGHBORS, model.n_classes - 1)
    expected = {
        "classes": model.n_classes,
        "weights": model.n_classes,
        "neighbors": model.n_classes * k,
        "pairs": model.n_pairs,
    }
    counted = read.row_counts(connection, model.model_id)
    wrong = [
        f"{table} has {counted[table]:,} rows instead of {n:,}"
        for table, n in expected.items()
        if counted[table] != n
    ]
    if model.n_pairs not in {0, model.n_classes * (model.n_classes - 1) // 2}:
        wrong.append(f"{model.n_pairs:,} pairs are some, not all")
    if wrong:
        raise ValueError("; ".join(wrong))
    return ", ".join(f"{n:,} {table}" for table, n in counted.items())


def _classes(connection: DuckDBPyConnection, model: StoredModel) -> str:
    found = read.stored_classes(connection, [model.model_id])
    if [each.index for each in found] != list(range(model.n_classes)):
        raise ValueError(f"the classes are not numbered from 0 to {model.n_classes - 1:,}")
    if concepts_hash([each.concept for each in found]) != model.concepts_sha256:
        raise ValueError("the concepts are not those that were ingested")
    if model.normalization not in NORMALIZATIONS:
        raise ValueError(f"the normalisation {model.normalization!r} is none of classrel's")
    return "the concepts hash to what was ingested"


def _weights(connection: DuckDBPyConnection, model: StoredModel) -> str:
    return _same_rows(content_hash(arrays.rows(connection, model)), model)


def _same_rows(found: str, model: StoredModel) -> str:
    if found != model.rows_sha256:
        raise ValueError(
            "the stored rows are not those that were ingested: ingest the head again with --replace"
        )
    return "the stored rows hash to what was ingested"


def _norms(connection: DuckDBPyConnection, model: StoredModel, rows: NDArray[np.float32]) -> str:
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    worst = _largest(arrays.norms(connection, model.model_id) / norms - 1)
    return _within(worst, 1e-9, "each norm computed anew")


def _neighbors(
    connection: DuckDBPyConnection, model: StoredModel, unit_rows: NDArray[np.float64]
) -> str:
    k = min(read.STORED_NEIGHBORS, model.n_classes - 1)
    listed, stored = arrays.stored_neighbors(connection, model, k)
    worst = 0.0
    sample = _sample(model)
    for class_idx in sample:
        cosines = maths.cosines_to(unit_rows[class_idx], unit_rows)
        order = np.lexsort((np.arange(model.n_classes), -cosines))
        order = order[order != class_idx][:k]
        there = cosines[listed[class_idx]]
        # another order is right only among equals
        worst = max(worst, _largest(there - stored[class_idx]), _largest(there - cosines[order]))
    if not (np.abs(stored) <= 1).all():
        raise ValueError("a stored cosine is no number from -1 to 1")
    if (np.diff(stored, axis=1) > 0).any() or (listed == np.arange(len(listed))[:, None]).any():
        raise ValueError("the neighbours of a class are out of order, or it is its own")
    return _within(worst, _COSINE_TOLERANCE, f"{len(sample)} classes computed anew")


def _pairs(
    connection: DuckDBPyConnection, model: StoredModel, unit_rows: NDArray[np.float64]
) -> str:
    _require_sound_pairs(connection, model)
    worst = 0.0
    sample = _sample(model)
    for class_idx in sample:
        cosines = maths.cosines_to(unit_rows[class_idx], unit_rows)
        stored = arrays.stored_cosines(connection, model, int(class_idx))
        stored[class_idx] = cosines[class_idx]
        worst = max(worst, _largest(stored - cosines))
    return _within(worst, _COSINE_TOLERANCE, f"{len(sample)} classes computed anew")


def _require_sound_pairs(connection: DuckDBPyConnection, model: StoredModel) -> None:
    faulty = read.faulty_pairs(connection, model)
    if faulty:
        raise ValueError(
            f"{faulty:,} pairs are not of two classes a < b with a cosine from -1 to 1"
        )


def _trees(connection: DuckDBPyConnection, model: StoredModel) -> str:
    kinds = trees.stored_trees(connection, model)
    for method, distance in kinds:
        stored = trees.stored_tree(connection, model, method, distance)
        if stored is None:
            continue
        tree = tree_of(stored.Z, stored.order)
        spans = trees.stored_spans(connection, model, method, distance)
        own = tree.spans[tree.n :]
        if not np.array_equal(spans, np.stack([own[:, 0], own[:, 1] - own[:, 0]], axis=1)):
            raise ValueError(
                f"the {method} tree by {distance} distance has clades that are not where its leaves are"
            )
    return ", ".join(f"{method} by {distance}" for method, distance in kinds)


def _index(model: StoredModel, indexes: IndexCache) -> str:
    state = indexes.state(model.rows_sha256, (model.n_classes, model.dim))
    if state == "damaged":
        raise ValueError(
            f"{indexes.path(model.rows_sha256)} is damaged: it is "
            f"{'not used' if is_large(model) else 'made anew when it is needed'}"
        )
    return {
        "ok": "the index file holds these rows",
        "absent": "no index file: vectors are held against all rows; `ingest --replace` makes it"
        if is_large(model)
        else "no index file: it is made when it is needed",
    }[state]


def _sample(model: StoredModel) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, model.n_classes - 1, _SAMPLED_CLASSES).astype(np.int64))


def _largest(differences: NDArray[np.floating]) -> float:
    """The largest absolute difference; NaN, where a value is missing, must not pass."""
    return float(np.nan_to_num(np.abs(differences), nan=np.inf).max(initial=0.0))


def _within(worst: float, tolerance: float, what: str) -> str:
    found = f"{what} from the weights: largest difference {worst:.1e}"
    if worst > tolerance:
        raise ValueError(f"{found}; ingest the head again with --replace")
    return found
