"""From a head in memory to rows in the database: one transaction a model."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Literal

import numpy as np

from classrel_db import maths
from classrel_db.catalog.background import Background
from classrel_db.catalog.vectors import nearest_rows
from classrel_db.errors import MissingDatabaseError, ModelExistsError, OldSchemaError, WeightsError
from classrel_db.records import Head, Ingested, Progress, Step, StoredModel
from classrel_db.spelling import quoted
from classrel_db.storage import read, write
from classrel_db.storage.index import VectorIndex
from classrel_db.storage.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import Normalization, PairPolicy
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache

Neighbors = tuple["NDArray[np.int64]", "NDArray[np.float32]"]
"""(indices C×k, cosines C×k), nearest first."""

PAIRS_LIMIT = 12_000  # `auto` stores every pair up to this many classes: 72 million pairs, 0.3 GB


def ingest_head(
    database: Database,
    indexes: IndexCache,
    head: Head,
    name: str,
    *,
    normalization: Normalization,
    pairs: PairPolicy,
    replace: bool,
    progress: Progress,
) -> Ingested:
    """Store one head under ``name``; nothing of it is left behind when anything fails.

    Raises WeightsError for rows without a direction and ModelExistsError where the name is taken.
    """
    _require_comparable(head, name)
    n_classes, dim = head.weight.shape
    every_pair = n_classes * (n_classes - 1) // 2
    store_pairs = pairs == "all" or (pairs == "auto" and n_classes <= PAIRS_LIMIT)
    normalized = maths.normalize(head.weight, normalization)
    _require_direction(normalized, head, name)
    model = StoredModel(
        model_id=0,
        name=name,
        source=head.source,
        uri=head.uri,
        head_key=head.head_key,
        label_space=head.space.name,
        concepts_sha256=concepts_hash(head.space.concepts),
        normalization=normalization,
        n_classes=n_classes,
        dim=dim,
        n_pairs=every_pair if store_pairs else 0,
        weights_sha256=content_hash(head.weight, head.bias),
        rows_sha256=content_hash(normalized.rows),
        bytes_read=head.bytes_read,
        bytes_total=head.bytes_total,
    )

    def outcome(status: Literal["added", "replaced", "unchanged"], n_pairs: int) -> Ingested:
        read_of = (head.bytes_read, head.bytes_total)
        return Ingested(name, status, n_classes, dim, n_pairs, *read_of, seconds=0.0)

    def settle(connection: DuckDBPyConnection) -> StoredModel | None:
        """The model that stands under this name. Raises ModelExistsError where it may not go."""
        existing = {stored.name: stored for stored in read.stored_models(connection)}.get(name)
        if existing is not None and not replace:
            differs = _differences(connection, existing, model, head, pairs)
            if differs:
                raise ModelExistsError(
                    f"model {quoted(name)} is stored already, with other {' and '.join(differs)}; "
                    "give --replace to put this one in its place, or --name to keep both"
                )
        return existing

    if database.exists():
        existing = None
        with suppress(MissingDatabaseError, OldSchemaError):  # which writing will put right
            existing = settle(database.reader())
        if existing is not None and not replace:
            return outcome("unchanged", existing.n_pairs)
        database.close()  # while this computes, others may read and write
    unit_rows = maths.unit(normalized.rows)

    searched = 0

    def search(step: Callable[[], None]) -> tuple[VectorIndex, Neighbors]:
        def done(classes: int) -> None:
            nonlocal searched
            searched = classes
            step()

        write.load_arrow()
        index = VectorIndex.build(unit_rows)
        return index, _neighbors(index, unit_rows, done)

    def tell_searched() -> None:
        progress(Step(name, "neighbors", searched, n_classes))

    def tell_paired(pairs_done: int) -> None:
        progress(Step(name, "pairs", pairs_done, every_pair))
        tell_searched()

    # The neighbours are searched while the pairs are written. Without pairs there is nothing to do
    # meanwhile, and the file is opened for writing only then.
    with Background(search) as searching:
        if not store_pairs:
            searching.result(tell_searched)
        with database.writer() as connection:
            existing = settle(connection)
            if existing is not None and not replace:
                return outcome("unchanged", existing.n_pairs)
            with transaction(connection):
                model = replaced(model, model_id=write.next_model_id(connection))
                if existing is not None:
                    write.hand_over_tags(connection, existing.model_id, model.model_id)
                    write.delete_model(connection, existing.model_id)
                statistics = {
                    column: getattr(normalized, column)
                    for column in ("mean", "std", "norm", "scale")
                }
                write.insert_model(connection, model, normalized.center)
                write.insert_classes(connection, model.model_id, head.space, head.bias, statistics)
                write.insert_weights(connection, model.model_id, normalized.rows)
                if store_pairs:
                    write.insert_pairs(
                        connection,
                        model.model_id,
                        maths.cosine_blocks(unit_rows),
                        tell_paired,
                    )
                index, neighbors = searching.result(tell_searched)
                write.insert_neighbors(connection, model.model_id, *neighbors)
    # After the commit: the index is a cache, and only the database says which heads there are.
    indexes.put(model.rows_sha256, index)
    if existing is not None and existing.rows_sha256 != model.rows_sha256:
        indexes.remove(existing.rows_sha256)
    return outcome("added" if existing is None else "replaced", model.n_pairs)


def content_hash(*arrays: NDArray[np.float32] | None) -> str:
    """SHA-256 of float32 arrays with their shapes; None counts as an empty one."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.empty(0, np.float32) if array is None else array
        digest.update(repr(values.shape).encode())
        digest.update(np.ascontiguousarray(values, dtype="<f4").data)
    return digest.hexdigest()


def concepts_hash(concepts: Sequence[str]) -> str:
    """SHA-256 of an ordered list of concepts: equal where a class index means the same."""
    return hashlib.sha256("\0".join(concepts).encode()).hexdigest()


def _require_comparable(head: Head, name: str) -> None:
    n_classes, dim = head.weight.shape
    if n_classes < 2 or dim < 2:
        raise WeightsError(
            f"the head of {name} is {n_classes}×{dim}; relations need at least 2 classes and 2 "
            "dimensions"
        )
    faults = maths.faulty_rows(head.weight)
    if head.bias is not None:
        faults += [
            (int(row), "has a bias of NaN or Inf")
            for row in np.flatnonzero(~np.isfinite(head.bias))
        ]
    if faults:
        raise WeightsError(_fault_message(name, head, faults))


def _require_direction(normalized: maths.NormalizedHead, head: Head, name: str) -> None:
    lost = np.flatnonzero(~(normalized.norm > 0))
    if len(lost):
        reason = f"has no direction left after {normalized.method!r}"
        raise WeightsError(_fault_message(name, head, [(int(i), reason) for i in lost]))


def _fault_message(name: str, head: Head, faults: list[tuple[int, str]]) -> str:
    shown = ", ".join(
        f"{quoted(head.space.labels[row])} (row {row}) {reason}" for row, reason in faults[:5]
    )
    more = f", and {len(faults) - 5} rows more" if len(faults) > 5 else ""
    return (
        f"the head of {name} can't be compared: {shown}{more}. Nothing was "
        "stored; check the checkpoint, or --head if another tensor is meant"
    )


def _differences(
    connection: DuckDBPyConnection,
    existing: StoredModel,
    model: StoredModel,
    head: Head,
    pairs: PairPolicy,
) -> list[str]:
    differs = []
    if existing.weights_sha256 != model.weights_sha256:
        differs.append("weights")
    if existing.normalization != model.normalization:
        differs.append(f"normalisation ({existing.normalization}, not {model.normalization})")
    stored = read.stored_classes(connection, [existing.model_id])
    given = list(zip(head.space.labels, head.space.concepts, strict=True))
    if [(each.label, each.concept) for each in stored] != given:
        differs.append("labels")
    if pairs != "auto" and existing.n_pairs != model.n_pairs:
        differs.append(f"pairs ({existing.n_pairs:,}, not {model.n_pairs:,})")
    return differs


def _neighbors(
    index: VectorIndex, unit_rows: NDArray[np.float64], done: Callable[[int], None]
) -> Neighbors:
    """The stored neighbours of every class; ``done`` is told how many classes have theirs."""
    n_classes = len(unit_rows)
    k = min(read.STORED_NEIGHBORS, n_classes - 1)
    indices = np.empty((n_classes, k), dtype=np.int64)
    cosines = np.empty((n_classes, k), dtype=np.float32)
    for start in range(0, n_classes, 1024):
        block = np.arange(start, min(start + 1024, n_classes))
        queries = unit_rows[block]
        # a class is not its own neighbour
        indices[block], cosines[block] = nearest_rows(
            index, unit_rows, queries, k, barred=block[:, None]
        )
        done(int(block[-1]) + 1)
    return indices, cosines
