"""From a head in memory to rows in the database: one transaction a model."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Literal

import numpy as np

from classrel_db import maths
from classrel_db.catalog.background import Background
from classrel_db.catalog.provenance import provenance
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

    from classrel_db.records import IngestOptions, PairPolicy
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache

Neighbors = tuple["NDArray[np.int64]", "NDArray[np.float32]"]
"""(indices C×k, cosines C×k), nearest first."""

PAIRS_LIMIT = 12_000  # `auto` stores every pair up to this many classes: 72 million pairs, 0.3 GB


@dataclass(frozen=True, slots=True)
class Prepared:
    """A head with all that can be told of it without the database.

    ``model`` has no id yet. ``unit_rows`` is C×D float64. ``searching`` finds the neighbours, in a thread
    of its own as long as the ``with`` block lasts; ``searched`` holds how many classes have theirs.
    """

    head: Head
    model: StoredModel
    normalized: maths.NormalizedHead
    unit_rows: NDArray[np.float64]
    searching: Background[tuple[VectorIndex, Neighbors]]
    searched: list[int]


def prepare(head: Head, name: str, options: IngestOptions) -> Prepared:
    """Normalise a head and count what is to be stored. Raises WeightsError for rows without a direction."""
    _require_comparable(head, name)
    n_classes, dim = head.weight.shape
    normalized = maths.normalize(head.weight, options.normalization)
    _require_direction(normalized, head, name)
    model = StoredModel(
        model_id=0,
        name=name,
        source=head.source,
        uri=head.uri,
        head_key=head.head_key,
        label_space=head.space.name,
        concepts_sha256=concepts_hash(head.space.concepts),
        normalization=options.normalization,
        n_classes=n_classes,
        dim=dim,
        n_pairs=stored_pairs(n_classes, options.pairs),
        weights_sha256=content_hash(head.weight, head.bias),
        rows_sha256=content_hash(normalized.rows),
        bytes_read=head.bytes_read,
        bytes_total=head.bytes_total,
        **provenance(head, normalized),
    )
    unit_rows = maths.unit(normalized.rows)
    searched: list[int] = [0]

    def search(step: Callable[[], None]) -> tuple[VectorIndex, Neighbors]:
        def done(classes: int) -> None:
            searched[0] = classes
            step()

        write.load_arrow()
        index = VectorIndex.build(unit_rows)
        return index, _neighbors(index, unit_rows, done)

    return Prepared(head, model, normalized, unit_rows, Background(search), searched)


def ingest_head(
    database: Database,
    indexes: IndexCache,
    prepared: Prepared,
    options: IngestOptions,
    progress: Progress,
) -> Ingested:
    """Store one head under its name; nothing of it is left behind when anything fails.

    Raises ModelExistsError where the name is taken, and DatabaseError.
    """
    if database.exists():
        existing = None
        with suppress(MissingDatabaseError, OldSchemaError):  # which writing will put right
            existing = _standing(database.reader(), prepared, options)
        if existing is not None and not options.replace:
            return already_there(existing)
        database.close()  # while this computes, others may read and write
    # The neighbours are searched while the pairs are written. Without pairs there is nothing to do
    # meanwhile, and the file is opened for writing only then.
    with prepared.searching as searching:
        if not prepared.model.n_pairs:
            searching.result(lambda: _tell_searched(prepared, progress))
        with database.writer() as connection:
            answer, before = store(connection, prepared, options, progress)
        put_index(indexes, prepared, answer, before)
    return answer


def _standing(
    connection: DuckDBPyConnection, prepared: Prepared, options: IngestOptions
) -> StoredModel | None:
    """The model that stands under this name. Raises ModelExistsError where this one may not go there."""
    name = prepared.model.name
    existing = {stored.name: stored for stored in read.stored_models(connection)}.get(name)
    if existing is not None and not options.replace:
        differs = _differences(connection, existing, prepared.model, prepared.head, options.pairs)
        if differs:
            raise ModelExistsError(
                f"model {quoted(name)} is stored already, with other {' and '.join(differs)}; "
                "give --replace to put this one in its place, or --name to keep both"
            )
    return existing


def store(
    connection: DuckDBPyConnection,
    prepared: Prepared,
    options: IngestOptions,
    progress: Progress,
) -> tuple[Ingested, StoredModel | None]:
    """Write one head over a connection that may write, in one transaction.

    With what was done comes the model that stood there before. Raises ModelExistsError where the name is
    taken.
    """
    model, normalized = prepared.model, prepared.normalized
    existing = _standing(connection, prepared, options)
    if existing is not None and not options.replace:
        return already_there(existing), existing

    def tell_paired(pairs_done: int) -> None:
        progress(Step(model.name, "pairs", pairs_done, model.n_pairs))
        _tell_searched(prepared, progress)

    with transaction(connection):
        model = replaced(model, model_id=write.next_model_id(connection))
        if existing is not None:
            write.hand_over_tags(connection, existing.model_id, model.model_id)
            write.delete_model(connection, existing.model_id)
        statistics = {
            column: getattr(normalized, column) for column in ("mean", "std", "norm", "scale")
        }
        write.insert_model(connection, model, normalized.center)
        write.insert_classes(
            connection, model.model_id, prepared.head.space, prepared.head.bias, statistics
        )
        write.insert_weights(connection, model.model_id, normalized.rows)
        if model.n_pairs:
            blocks = maths.cosine_blocks(prepared.unit_rows)
            write.insert_pairs(connection, model.model_id, blocks, tell_paired)
        _, neighbors = prepared.searching.result(lambda: _tell_searched(prepared, progress))
        write.insert_neighbors(connection, model.model_id, *neighbors)
    answer = _ingested("added" if existing is None else "replaced", model)
    twin = next((m.name for m in read.stored_models(connection) if _is_twin(m, model)), None)
    return replaced(answer, other_heads=prepared.head.others, same_as=twin), existing


def put_index(
    indexes: IndexCache, prepared: Prepared, answer: Ingested, before: StoredModel | None
) -> None:
    """Write the index of a head that was stored, and delete that of the one ``before`` it.

    Once the database has its place: the index is a cache, and only the database says which heads there are.
    """
    if answer.status == "unchanged":
        return
    index, _ = prepared.searching.result(lambda: None)
    indexes.put(prepared.model.rows_sha256, index)
    if before is not None and before.rows_sha256 != prepared.model.rows_sha256:
        indexes.remove(before.rows_sha256)


def _is_twin(other: StoredModel, model: StoredModel) -> bool:
    return other.name != model.name and other.weights_sha256 == model.weights_sha256


def already_there(model: StoredModel) -> Ingested:
    """What an ingest of a head that is stored already answers."""
    return _ingested("unchanged", model)


def stored_pairs(n_classes: int, pairs: PairPolicy) -> int:
    """How many pairs of a head are stored."""
    every = pairs == "all" or (pairs == "auto" and n_classes <= PAIRS_LIMIT)
    return n_classes * (n_classes - 1) // 2 if every else 0


def _tell_searched(prepared: Prepared, progress: Progress) -> None:
    model = prepared.model
    progress(Step(model.name, "neighbors", prepared.searched[0], model.n_classes))


def _ingested(status: Literal["added", "replaced", "unchanged"], model: StoredModel) -> Ingested:
    size = (model.n_classes, model.dim)
    read_of = (model.bytes_read, model.bytes_total)
    return Ingested(
        model.name, status, *size, model.n_pairs, *read_of, 0.0, model.dtype, model.cosine_error
    )


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
