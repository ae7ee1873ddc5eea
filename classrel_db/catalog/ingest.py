"""From a head in memory to rows in the database: one transaction a model."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from classrel_db import maths
from classrel_db.catalog.background import Background
from classrel_db.catalog.provenance import provenance
from classrel_db.catalog.searching import Found, LargeSearch, search_exactly
from classrel_db.catalog.vectors import is_exact, is_large
from classrel_db.errors import (
    ArgumentError,
    MissingDatabaseError,
    ModelExistsError,
    OldSchemaError,
    WeightsError,
)
from classrel_db.records import Head, Ingested, Progress, Step, StoredModel
from classrel_db.scratch import LARGE, release, scratch_array
from classrel_db.spelling import quoted
from classrel_db.storage import read, write
from classrel_db.storage.transaction import transaction
from classrel_db.text import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import IngestOptions, LabelSpace, PairPolicy
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache

PAIRS_LIMIT = 12_000  # `auto` stores every pair up to this many classes: 72 million pairs, 0.3 GB


class Made(Protocol):
    """A head that is read and computed, and can be stored; ``model`` has no id yet."""

    @property
    def model(self) -> StoredModel: ...

    @property
    def space(self) -> LabelSpace: ...

    @property
    def others(self) -> tuple[str, ...]:
        """The heads beside this one in the same model."""

    def write(
        self, connection: DuckDBPyConnection, model_id: int, progress: Progress
    ) -> StoredModel:
        """Write all of its rows, and return that of ``models``. The caller holds the transaction."""

    def put_index(self, indexes: IndexCache) -> None:
        """Write the index file of a head that was stored."""


class Prepared:
    """A head in this process, with all that can be told of it without the database.

    Its neighbours are searched in a thread of its own as long as the ``with`` block of ``searching`` lasts.
    Its arrays may lie on the disk: they are gone through block by block. Raises WeightsError for rows without
    a direction, and ArgumentError for too little memory.
    """

    def __init__(
        self, head: Head, name: str, options: IngestOptions, folder: Path | None = None
    ) -> None:
        _require_comparable(head, name)
        n_classes, dim = head.weight.shape
        out = None
        if 4 * n_classes * dim > LARGE:
            out = scratch_array((n_classes, dim), "<f4", folder)
        self.normalized = maths.normalize(head.weight, options.normalization, out)
        _require_direction(self.normalized, head, name)
        self.head = head
        self.model = StoredModel(
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
            rows_sha256=content_hash(self.normalized.rows),
            bytes_read=head.bytes_read,
            bytes_total=head.bytes_total,
            **provenance(head, self.normalized),
        )
        release(head.weight, self.normalized.rows)
        k = min(read.STORED_NEIGHBORS, n_classes - 1)
        self._unit_rows = None
        large = None
        if is_large(self.model):
            large = LargeSearch(
                self.normalized.rows,
                self.normalized.norm,
                k,
                memory=options.memory,
                folder=folder,
                exact=options.exact or is_exact(n_classes),
            )
        if large is None:
            self._unit_rows = maths.unit(self.normalized.rows)
        if self.model.n_pairs and self._unit_rows is None:
            self._unit_rows = self._all_unit_rows(options.memory)
        self._searched = 0

        def search(step: Callable[[], None]) -> Found:
            def done(classes: int) -> None:
                self._searched = classes
                step()

            write.load_arrow()
            if large is not None:
                return large.run(done, step)
            assert self._unit_rows is not None  # noqa: S101
            return search_exactly(self._unit_rows, k, done)

        self.searching: Background[Found] = Background(search)

    @property
    def space(self) -> LabelSpace:
        return self.head.space

    @property
    def others(self) -> tuple[str, ...]:
        return self.head.others

    def found(self, progress: Progress) -> Found:
        """The neighbours, once they are found."""
        return self.searching.result(lambda: self._tell_searched(progress))

    def write(
        self, connection: DuckDBPyConnection, model_id: int, progress: Progress
    ) -> StoredModel:
        model, normalized = replaced(self.model, model_id=model_id), self.normalized
        write.insert_classes(connection, model_id, self.space, self.head.bias, self.statistics)
        write.insert_weights(connection, model_id, normalized.rows)

        def tell_paired(pairs_done: int) -> None:
            progress(Step(model.name, "pairs", pairs_done, model.n_pairs))
            self._tell_searched(progress)

        if model.n_pairs:
            write.insert_pairs(connection, model_id, self.pair_blocks(), tell_paired)
        found = self.found(progress)
        write.insert_neighbors(connection, model_id, found.indices, found.cosines)
        model = searched_model(model, found)
        write.insert_model(connection, model, normalized.center)
        return model

    @property
    def statistics(self) -> dict[str, NDArray[np.float64]]:
        """The mean, std, norm and scale of each row, (C,) each."""
        columns = ("mean", "std", "norm", "scale")
        return {column: getattr(self.normalized, column) for column in columns}

    def pair_blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The cosines of all pairs, as of :func:`classrel_db.maths.cosine_blocks`."""
        assert self._unit_rows is not None  # noqa: S101
        return maths.cosine_blocks(self._unit_rows)

    def put_index(self, indexes: IndexCache) -> None:
        index = self.searching.result(lambda: None).index
        if index is not None:
            indexes.put(self.model.rows_sha256, index)

    def _tell_searched(self, progress: Progress) -> None:
        progress(Step(self.model.name, "neighbors", self._searched, self.model.n_classes))

    def _all_unit_rows(self, memory: int) -> NDArray[np.float64]:
        needs = 12 * self.model.n_classes * self.model.dim
        if needs > memory:
            raise ArgumentError(
                f"memory is {megabytes(memory)}; all pairs of a head of {self.model.n_classes:,}×"
                f"{self.model.dim} take at least {megabytes(needs + 500_000)}: give --memory that much, or "
                "leave --pairs out"
            )
        return maths.unit(self.normalized.rows)


def searched_model(model: StoredModel, found: Found) -> StoredModel:
    """The row of ``models``, with how its neighbours were found."""
    return replaced(
        model,
        search=found.search,
        recall=found.recall,
        recall_low=found.recall_low,
        recall_all=found.recall_all,
        recall_sample=found.recall_sample,
    )


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
    with prepared.searching:
        if not prepared.model.n_pairs:
            prepared.found(progress)
        with database.writer() as connection:
            answer, before = store(connection, prepared, options, progress)
        put_index(indexes, prepared, answer, before)
    return answer


def _standing(
    connection: DuckDBPyConnection, made: Made, options: IngestOptions
) -> StoredModel | None:
    """The model that stands under this name. Raises ModelExistsError where this one may not go there."""
    name = made.model.name
    existing = {stored.name: stored for stored in read.stored_models(connection)}.get(name)
    if existing is not None and not options.replace:
        differs = _differences(connection, existing, made.model, made.space, options.pairs)
        if differs:
            raise ModelExistsError(
                f"model {quoted(name)} is stored already, with other {' and '.join(differs)}; "
                "give --replace to put this one in its place, or --name to keep both"
            )
    return existing


def store(
    connection: DuckDBPyConnection,
    made: Made,
    options: IngestOptions,
    progress: Progress,
) -> tuple[Ingested, StoredModel | None]:
    """Write one head over a connection that may write, in one transaction.

    With what was done comes the model that stood there before. Raises ModelExistsError where the name is
    taken.
    """
    existing = _standing(connection, made, options)
    if existing is not None and not options.replace:
        return already_there(existing), existing
    if is_large(made.model):
        write.bound_memory(connection, options.memory // 2)
    with transaction(connection):
        model_id = write.next_model_id(connection)
        if existing is not None:
            write.hand_over_tags(connection, existing.model_id, model_id)
            write.delete_model(connection, existing.model_id)
        model = made.write(connection, model_id, progress)
    answer = _ingested("added" if existing is None else "replaced", model)
    twin = next((m.name for m in read.stored_models(connection) if _is_twin(m, model)), None)
    return replaced(answer, other_heads=made.others, same_as=twin), existing


def put_index(
    indexes: IndexCache, made: Made, answer: Ingested, before: StoredModel | None
) -> None:
    """Write the index of a head that was stored, and delete that of the one ``before`` it.

    Once the database has its place: the index is a cache, and only the database says which heads there are.
    """
    if answer.status == "unchanged":
        return
    made.put_index(indexes)
    if before is not None and before.rows_sha256 != made.model.rows_sha256:
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


def _ingested(status: Literal["added", "replaced", "unchanged"], model: StoredModel) -> Ingested:
    size = (model.n_classes, model.dim)
    read_of = (model.bytes_read, model.bytes_total)
    return Ingested(
        model.name,
        status,
        *size,
        model.n_pairs,
        *read_of,
        seconds=0.0,
        dtype=model.dtype,
        cosine_error=model.cosine_error,
        search=model.search,
        recall=model.recall,
        recall_low=model.recall_low,
        recall_all=model.recall_all,
    )


def content_hash(*arrays: NDArray[np.float32] | None) -> str:
    """SHA-256 of float32 arrays with their shapes; None counts as an empty one."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.empty(0, np.float32) if array is None else array
        digest.update(repr(values.shape).encode())
        for block in maths.row_blocks(len(values), values[:1].size):
            add_content(digest, values[block])
            release(values)
    return digest.hexdigest()


def add_content(digest: hashlib._Hash, values: NDArray[np.float32]) -> None:
    """Go on with a :func:`content_hash` that began with the shape of all values."""
    digest.update(np.ascontiguousarray(values, dtype="<f4").data)


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
    space: LabelSpace,
    pairs: PairPolicy,
) -> list[str]:
    differs = []
    if existing.weights_sha256 != model.weights_sha256:
        differs.append("weights")
    if existing.normalization != model.normalization:
        differs.append(f"normalisation ({existing.normalization}, not {model.normalization})")
    stored = read.stored_classes(connection, [existing.model_id])
    given = list(zip(space.labels, space.concepts, strict=True))
    if [(each.label, each.concept) for each in stored] != given:
        differs.append("labels")
    if pairs != "auto" and existing.n_pairs != model.n_pairs:
        differs.append(f"pairs ({existing.n_pairs:,}, not {model.n_pairs:,})")
    return differs
