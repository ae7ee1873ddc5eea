"""The Python API: one :class:`Catalog` a database file.

    >>> import classrel_db
    >>> catalog = classrel_db.open("classrel.duckdb")
    >>> catalog.ingest("efficientnet_lite0")
    >>> catalog.similar("Dungeness crab", k=5).df()

What answers with rows answers with a DuckDB relation: ``.df()``, ``.pl()``, ``.to_arrow_table()``,
``.fetchall()`` and further SQL all work on it. A relation lives as long as the catalog's connection
does: until :meth:`Catalog.close`, or the next :meth:`Catalog.ingest` or :meth:`Catalog.remove`.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace as replaced
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.catalog.algebra import parse
from classrel_db.catalog.lookup import Lookup
from classrel_db.errors import ArgumentError, UnknownClassError
from classrel_db.records import NORMALIZATIONS, PAIR_POLICIES, LoadOptions, Step
from classrel_db.spelling import quoted
from classrel_db.storage import read
from classrel_db.storage.database import Database, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from duckdb import DuckDBPyRelation
    from numpy.typing import ArrayLike

    from classrel_db.catalog.vectors import VectorSearch
    from classrel_db.records import (
        Ingested,
        Normalization,
        PairPolicy,
        Progress,
        StoredModel,
    )
    from classrel_db.storage.index import IndexCache

DEFAULT_DATABASE = "classrel.duckdb"
DEFAULT_K = 25


def open(path: str | os.PathLike[str] | None = None) -> Catalog:  # noqa: A001
    """The catalog of a database file: ``path``, else ``$CLASSREL_DB``, else ``classrel.duckdb``.

    Nothing is opened or made yet: the first question opens the file, the first ingest makes it.
    """
    return Catalog(Path(path or os.environ.get("CLASSREL_DB") or DEFAULT_DATABASE))


class Catalog:
    """The heads in one database file, and what can be asked of them.

    One catalog may be used from several threads; reading holds the file open read-only, which keeps
    other processes from writing to it until :meth:`close` (or the end of a ``with`` block).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path)
        self._lookup: Lookup | None = None
        self._vectors: VectorSearch | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r})"

    def close(self) -> None:
        """Release the file; the next question opens it again."""
        self._lookup = self._vectors = None
        self._database.close()

    def ingest(
        self,
        *specs: str,
        name: str | None = None,
        head: str | None = None,
        labels: str | os.PathLike[str] | None = None,
        normalize: Normalization = "standardize",
        pairs: PairPolicy = "auto",
        replace: bool = False,
        progress: Progress | None = None,
        done: Callable[[Ingested], None] | None = None,
    ) -> list[Ingested]:
        """Read heads and store them, one transaction each, in the order given.

        ``specs`` are names of the zoos (``efficientnet_lite0``, ``resnet50``,
        ``torchvision:resnet50@IMAGENET1K_V1``) or files (.safetensors, .pth, .pt, .npz). ``head`` and
        ``labels`` are for files: which tensor, and a file of labels (txt, csv, json) or
        ``imagenet1k``. ``progress`` is told of each step and ``done`` of each stored model.

        The same head again changes nothing (status ``unchanged``). Raises SourceError, LabelError,
        WeightsError, ModelExistsError (another head under that name, without ``replace``),
        UnknownModelError for a name in no zoo, and DatabaseError; models stored before the one that
        failed stay, and of that one nothing is kept.
        """
        from classrel_db import sources
        from classrel_db.catalog.ingest import ingest_head

        _require_one_of("normalize", normalize, NORMALIZATIONS)
        _require_one_of("pairs", pairs, PAIR_POLICIES)
        if not specs:
            raise ArgumentError(
                "no model to ingest; give a name such as efficientnet_lite0, or a file"
            )
        if name is not None and len(specs) > 1:
            raise ArgumentError(
                f"one name ({quoted(name)}) for {len(specs)} models; ingest them one by one"
            )
        # all of them before the first is read: a misspelt name should not wait for a download
        located = [sources.locate(spec) for spec in specs]
        names = [_require_name(name or place.name) for place in located]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ArgumentError(
                f"two of these models would both be named {quoted(twice)}; ingest one of them with --name"
            )
        if (head is not None or labels is not None) and not any(p.takes_labels for p in located):
            raise ArgumentError(
                f"--head and --labels are for files; {located[0].spec} brings its own head and labels"
            )
        tell = progress or (lambda _step: None)
        answers = []
        self.close()
        for place, model in zip(located, names, strict=True):
            started = time.perf_counter()
            options = (
                LoadOptions(head, Path(labels) if labels else None)
                if place.takes_labels
                else LoadOptions()
            )

            def reading(done: int, total: int, model: str = model) -> None:
                tell(Step(model, "read", done, total))

            if sources.to_fetch(place) is not None:
                tell(Step(model, "download", 0, 0))
            answer = ingest_head(
                self._database,
                self._indexes,
                sources.load(place, options, reading),
                model,
                normalization=normalize,
                pairs=pairs,
                replace=replace,
                progress=tell,
            )
            answer = replaced(answer, seconds=time.perf_counter() - started)
            answers.append(answer)
            if done is not None:
                done(answer)
        return answers

    def models(self) -> DuckDBPyRelation:
        """The stored models: model, classes, dim, label_space, normalization, pairs, source,
        ingested_at (UTC)."""
        return read.models(self._database.reader())

    def info(self, model: str) -> DuckDBPyRelation:
        """Everything that is known of one model, in one row. Raises UnknownModelError."""
        (found,) = self._names().models(model)
        return read.info(self._database.reader(), found.model_id)

    def classes(self, model: str, pattern: str | None = None) -> DuckDBPyRelation:
        """The classes of one model: model, class_idx, class, concept, bias, mean, std, norm.

        ``pattern`` keeps those with it as a part of the label (in any case) or as their concept.
        Raises UnknownModelError.
        """
        (found,) = self._names().models(model)
        return read.classes(self._database.reader(), found.model_id, pattern)

    def similar(
        self,
        query: str | int | None = None,
        *,
        models: str | Sequence[str] | None = None,
        k: int | None = None,
        vector: ArrayLike | None = None,
        include_self: bool = False,
    ) -> DuckDBPyRelation:
        """The ``k`` classes nearest to a class, to a sum of classes, or to a vector.

        ``query`` is a class (label, unique part of one, concept or index) or an expression over
        classes, ``"king crab + American lobster - crayfish"``: the signed sum of their normalised
        rows, with the classes in it left out of the answer. ``vector`` (D,) lies in the raw feature
        space of the one model named. ``models`` defaults to all that know the class, ``k`` to 25 or
        as many as there are. ``include_self`` adds the class itself at rank 0 (a stored class), or
        leaves the classes of an expression in.

        Columns: model, class, rank, neighbor, neighbor_concept, cosine in [-1, 1], euclidean (the
        distance of the normalised rows); ordered by model as given, then rank. Equal cosines rank
        by class index. Raises UnknownModelError, UnknownClassError, AmbiguousClassError,
        ArgumentError.
        """
        if (query is None) == (vector is None):
            raise ArgumentError("give either a class (or an expression over classes) or a vector")
        names = self._names()
        chosen = names.models(models)
        if vector is not None:
            return self._near_vector(chosen, vector, k)
        text = str(query)
        terms = parse(text)
        if terms is not None and not names.named(text, chosen):
            return self._near_sum(chosen, text, explicit=models is not None, k=k, keep=include_self)
        found = names.find(text, chosen)
        if models is not None:
            _require_in_all(text, found, chosen)
        focal = [model for model in chosen if model.model_id in found]
        for model in focal:
            _require_k(k, model, model.n_classes - 1)
        return read.nearest(
            self._database.reader(),
            {model.name: found[model.model_id] for model in focal},
            k,
            include_self,
        )

    def remove(self, model: str) -> None:
        """Delete one model from the database, and its index file. Raises UnknownModelError."""
        from classrel_db.storage import write

        (found,) = self._names().models(model)
        self.close()
        with self._database.writer() as connection, transaction(connection):
            write.delete_model(connection, found.model_id)
        self._indexes.remove(found.rows_sha256)

    def check(self) -> DuckDBPyRelation:
        """Hold what is stored against itself and, on a sample, against the weights.

        Columns: model, check, ok (boolean), detail.
        """
        from classrel_db.catalog.verify import findings
        from classrel_db.storage import arrays

        connection = self._database.reader()
        found = [self._database.check_definitions()]
        for model in read.stored_models(connection):
            found += findings(connection, model, self._indexes)
        return arrays.findings(connection, found)

    def _near_sum(
        self, chosen: Sequence[StoredModel], text: str, *, explicit: bool, k: int | None, keep: bool
    ) -> DuckDBPyRelation:
        from classrel_db.storage import arrays

        terms = parse(text) or []
        names = self._names()
        places = [names.find(term.text, chosen) for term in terms]
        for term, place in zip(terms, places, strict=True):
            if explicit:
                _require_in_all(term.text, place, chosen)
        focal = [model for model in chosen if all(model.model_id in place for place in places)]
        if not focal:
            raise UnknownClassError(f"no model knows every class of {quoted(text)}")
        answers = []
        for model in focal:
            indices = [place[model.model_id] for place in places]
            barred = [] if keep else indices
            most = model.n_classes - len(set(barred))
            wanted = _require_k(k, model, most)
            prototype = self._search().prototype(model, terms, indices)
            answers.append((model, *self._search().nearest(model, prototype, wanted, barred)))
        return arrays.answers(self._database.reader(), text, answers)

    def _near_vector(
        self, chosen: Sequence[StoredModel], vector: ArrayLike, k: int | None
    ) -> DuckDBPyRelation:
        from classrel_db.storage import arrays

        if len(chosen) != 1:
            raise ArgumentError(
                f"a vector lies in the feature space of one model, not of {len(chosen)}; name it with models="
            )
        (model,) = chosen
        wanted = _require_k(k, model, model.n_classes)
        search = self._search()
        answer = search.nearest(model, search.raw_vector(model, vector), wanted, [])
        return arrays.answers(self._database.reader(), "(vector)", [(model, *answer)])

    @cached_property
    def _indexes(self) -> IndexCache:
        from classrel_db.storage.index import IndexCache, folder_of

        return IndexCache(folder_of(self.path))

    def _names(self) -> Lookup:
        connection = self._database.reader()
        if self._lookup is None or self._lookup.connection is not connection:
            self._lookup, self._vectors = Lookup(connection), None
        return self._lookup

    def _search(self) -> VectorSearch:
        from classrel_db.catalog.vectors import VectorSearch

        if self._vectors is None:
            self._vectors = VectorSearch(self._database.reader(), self._indexes)
        return self._vectors


def _require_one_of(option: str, value: str, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise ArgumentError(f"{option} is {quoted(str(value))}; accepted: {', '.join(accepted)}")


def _require_name(name: str) -> str:
    if not name.strip() or len(name) > 200 or not name.isprintable() or name.startswith("-"):
        raise ArgumentError(
            f"{quoted(name)} can't name a model; a name has 1 to 200 printable characters and does "
            "not begin with a hyphen: give another with --name"
        )
    return name


def _require_k(k: int | None, model: StoredModel, most: int) -> int:
    """``k``, by default 25 or all there are. Raises ArgumentError outside 1 to ``most``."""
    if k is None and most >= 1:
        return min(DEFAULT_K, most)
    if k is None or not 1 <= k <= most:
        raise ArgumentError(
            f"k is {k}; {model.name} has {model.n_classes:,} classes, so k is from 1 to {most:,}"
        )
    return k


def _require_in_all(text: str, found: dict[int, int], models: Sequence[StoredModel]) -> None:
    missing = [model.name for model in models if model.model_id not in found]
    if missing:
        raise UnknownClassError(
            f"no class {quoted(text)} in {', '.join(missing)}; leave that model out, or see what it "
            f"has with `classrel classes {missing[0]}`"
        )
