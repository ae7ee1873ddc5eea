"""The Python API: one :class:`Catalog` a database file.

    >>> import classrel_db
    >>> catalog = classrel_db.open("classrel.duckdb")
    >>> catalog.ingest("efficientnet_lite0")
    >>> catalog.similar("Dungeness crab", k=5).df()

What answers with rows answers with a DuckDB relation: ``.df()``, ``.pl()``, ``.to_arrow_table()``,
``.fetchall()`` and further SQL all work on it. A relation lives as long as the catalog's connection
does: until :meth:`Catalog.close`, or until the file is written, by an ingest, a removal, a tag, a tree.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.catalog.agreement import Agreement
from classrel_db.catalog.arguments import (
    require_count,
    require_in_all,
    require_query,
    require_resampling,
    require_statement,
)
from classrel_db.catalog.exports import Exports
from classrel_db.catalog.ingesting import Ingests
from classrel_db.catalog.nearest import nearest
from classrel_db.catalog.pictured import Pictured
from classrel_db.catalog.reported import Reported
from classrel_db.catalog.taxonomies import Taxonomies
from classrel_db.errors import ArgumentError
from classrel_db.records import RESAMPLES
from classrel_db.storage import queries as query_files
from classrel_db.storage import read, statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from duckdb import DuckDBPyRelation
    from numpy.typing import ArrayLike

    from classrel_db.records import NamedQuery, Progress

DEFAULT_DATABASE = "classrel.duckdb"


def open(  # noqa: A001
    path: str | os.PathLike[str] | None = None, *, queries: str | os.PathLike[str] | None = None
) -> Catalog:
    """The catalog of a database file: ``path``, else ``$CLASSREL_DB``, else ``classrel.duckdb``.

    Nothing is opened or made yet: the first question opens the file, the first ingest makes it. A folder
    with a lake, as :meth:`Catalog.export` makes it, or its address (``s3://bucket/folder``) is read in the
    same way, and never written to; MissingExtraError where the address needs a package that is not
    installed.
    ``queries``, else ``$CLASSREL_QUERIES``, is a folder of named queries of your own, which then stand
    beside classrel's. Raises QueryFileError where one of them is not in order.
    """
    folder = queries or os.environ.get("CLASSREL_QUERIES")
    place = os.fspath(path or os.environ.get("CLASSREL_DB") or DEFAULT_DATABASE)
    return Catalog(place, Path(folder) if folder else None)


class Catalog(Reported, Agreement, Exports, Pictured, Taxonomies, Ingests):
    """The heads in one database file, and what can be asked of them.

    Several threads may ask one catalog at once; while one of them writes (an ingest, a removal, a taxonomy,
    a tree that is not stored yet), the others' unfinished questions end with an error. Reading holds the
    file open read-only, which keeps other processes from writing to it until :meth:`close` (or the end of
    a ``with`` block).
    """

    def models(self) -> DuckDBPyRelation:
        """The stored models: model, classes, dim, label_space, normalization, pairs, source,
        ingested_at (UTC)."""
        self._known_now()  # a lake may have others than when it was last looked at
        return read.models(self._database.reader())

    def normalizations(self, models: str | Sequence[str] | None = None) -> dict[str, str]:
        """How the rows of these models, or of all, were normalised, by the models' names."""
        chosen = self._known_now().lookup.models(models)
        return {model.name: model.normalization for model in chosen}

    def info(self, model: str) -> DuckDBPyRelation:
        """Everything that is known of one model, in one row. Raises UnknownModelError.

        ``cosine_error`` is how far any of its cosines can be from what it was before the weights were
        rounded to ``dtype`` for storage; NULL is what is not known.
        """
        (found,) = self._known_now().lookup.models(model)
        return read.info(self._database.reader(), found.model_id)

    def cite(self, model: str) -> DuckDBPyRelation:
        """What to say of one model's weights in a paper, in one row.

        Columns: model, source, uri, revision, etag, reference, license, weights_sha256, accessed (a
        date), classrel_version, text (a paragraph), bibtex (an entry each for the weights and for classrel).
        Raises UnknownModelError.
        """
        from classrel_db.catalog.citing import citation
        from classrel_db.storage import arrays

        info = self.info(model)
        cited = citation(dict(zip(info.columns, info.fetchall()[0], strict=True)))
        return arrays.table({name: ("VARCHAR", [value]) for name, value in cited.items()})

    def classes(self, model: str, pattern: str | None = None) -> DuckDBPyRelation:
        """The classes of one model: model, class_idx, class, concept, bias, mean, std, norm.

        ``pattern`` keeps those with it as a part of the label (in any case) or as their concept.
        Raises UnknownModelError.
        """
        (found,) = self._known_now().lookup.models(model)
        return read.classes(self._database.reader(), found.model_id, pattern)

    def similar(
        self,
        query: str | int | None = None,
        *,
        models: str | Sequence[str] | None = None,
        k: int | None = None,
        vector: ArrayLike | None = None,
        include_self: bool = False,
        where: str | None = None,
        support: bool = False,
        resamples: int = RESAMPLES,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """The ``k`` classes nearest to a class, to a sum of classes, or to a vector.

        ``query`` is a class (label, unique part of one, concept or index) or an expression over
        classes, ``"king crab + American lobster - crayfish"``: the signed sum of their normalised
        rows, with the classes in it left out of the answer. ``vector`` (D,) lies in the raw feature
        space of the one model named. ``models`` defaults to all that know the class, ``k`` to 25 or
        as many as there are. ``where`` is an SQL condition on the classes that may answer, over the
        columns label, concept, class_idx, bias, mean, std and norm: ``"label ILIKE '%dog%'"``; there
        are still ``k`` answers, and ranks count only those classes. ``include_self`` adds the class
        itself at rank 0 (a stored class), or leaves the classes of an expression in.

        Columns: model, class, rank, neighbor, neighbor_concept, cosine in [-1, 1], euclidean (the
        distance of the normalised rows); ordered by model as given, then rank. Equal cosines rank
        by class index. ``support`` adds two, shares in [0, 1] and NULL at rank 0: ``support``, of
        ``resamples`` bootstrap resamples of the embedding dimensions (the same for a ``seed``) those
        in which the neighbour stays among the k nearest; ``normalizations``, of ``standardize``,
        ``center`` and ``none`` those by which it is. ``progress`` is told of its steps.

        Raises UnknownModelError, UnknownClassError, AmbiguousClassError, ArgumentError, StatementError
        (no condition).
        """
        if (query is None) == (vector is None):
            raise ArgumentError("give either a class (or an expression over classes) or a vector")
        require_resampling(resamples, seed)
        known, connection = self._known_now(), self._database.reader()
        rows, asked = nearest(connection, known, query, models, k, vector, include_self, where)
        if not support:
            return rows
        from classrel_db.catalog.support import with_support

        return with_support(connection, rows, asked, resamples, seed, progress)

    def consensus(
        self,
        query: str | int,
        *,
        models: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
        k: int = 25,
        least: int = 1,
        where: str | None = None,
    ) -> DuckDBPyRelation:
        """The ``k`` classes nearest to a class over all models, by the Fisher mean of their cosines.

        ``query`` is a class: label, unique part of one, concept or index. ``models`` defaults to all
        that know it, without those of ``exclude``. ``weights`` say by name what a model counts, a
        number from 0 on; 0 leaves it out, and models without one count 1. ``least`` keeps the classes
        that at least so many models know; ``where`` is an SQL condition on the classes that may
        answer, as for :meth:`similar`. There may be fewer than ``k`` of them.

        Columns: class, rank, neighbor, neighbor_concept, n (models), cosine in [-1, 1] (tanh of the
        mean z, z = atanh(cosine); Fisher 1921), sd (of z over models, of a sample; NULL where n is 1),
        low, high (the extremes of the cosine), low_model, high_model; by rank, equal ones by concept.
        Raises ArgumentError (also where the models are normalised in different ways),
        UnknownModelError, UnknownClassError, AmbiguousClassError, StatementError (no condition).
        """
        from classrel_db.catalog import consensus

        given = consensus.arguments(
            self._known_now().lookup,
            require_query(query),
            models=models,
            exclude=exclude,
            weights=weights,
            k=k,
            least=least,
            where=where,
        )
        return self.query("consensus", **given)

    def neighbor_ranks(
        self, query: str | int, *, models: str | Sequence[str] | None = None, k: int = 25
    ) -> DuckDBPyRelation:
        """The ranks, in each model, of the ``k`` classes nearest by their mean rank over the models.

        ``query`` is a class: label, unique part of one, concept or index; ``models`` default to all that
        know it. Of classes that at least half of them have; concepts that are mapped upon one another
        are one class. Columns as of :meth:`similar`, and mean_rank; by mean_rank, then by model as
        given. Raises as :meth:`consensus`.
        """
        from classrel_db.catalog.consensus import rank_columns
        from classrel_db.storage import arrays

        require_count("k", k, 1, None)
        lookup = self._known_now().lookup
        chosen = lookup.models(models)
        found = lookup.find(require_query(query), chosen)
        if models is not None:
            require_in_all(str(query), found, chosen)
        ranked = [
            self.similar(query, models=model.name, k=model.n_classes - 1).fetchall()
            for model in chosen
            if model.model_id in found
        ]
        return arrays.table(rank_columns(ranked, read.concept_map(self._database.reader()), k))

    def sql(
        self,
        statement: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        write: bool = False,
    ) -> DuckDBPyRelation:
        """The rows of one SQL statement over the tables, views and macros of the database.

        ``parameters`` are bound to ``$name`` (a mapping) or ``?`` (a sequence). The database is only
        read: temporary tables, views, macros and variables are allowed and last, in each thread, until
        the next write. With ``write`` any statement runs, and the rows are in memory. A statement that
        answers with no rows gives the one row ``done``.

        Raises StatementError for what is not one statement that may be run, with the place in it.
        """
        require_statement(statement)
        if write:
            from classrel_db.storage import arrays

            self._database.reader()  # where there is no database, this says how to make one
            self.close()
            with self._database.writer(own=False) as connection:
                return arrays.kept(statements.run_writing(connection, statement, parameters))
        return statements.run(self._known_now().session, statement, parameters)

    def query(self, name: str, /, *arguments: Any, **by_name: Any) -> DuckDBPyRelation:
        """The rows of a named query: ``catalog.query("neighbors", "resnet50", "tench", k=5)``.

        Arguments go by position or name. Models, and classes by a part of their label too, are
        looked up as elsewhere; text is read as the parameter's type. A condition, such as
        ``keep="label ILIKE '%dog%'"``, is SQL. :meth:`queries` lists what there is.

        Raises ArgumentError for an unknown query, and for arguments unknown, missing or ill-typed;
        UnknownModelError, UnknownClassError, AmbiguousClassError, StatementError.
        """
        from classrel_db.catalog import questions

        query = questions.named(self.named_queries, name)
        known = self._known_now()
        text, bound = questions.call(known.session, known.lookup, query, arguments, by_name)
        return statements.run(known.session, text, bound)

    def queries(self) -> DuckDBPyRelation:
        """The named queries: query, parameters, help."""
        from classrel_db.storage import arrays

        found = self.named_queries.values()
        return arrays.listing(
            {
                "query": [query.name for query in found],
                "parameters": [", ".join(p.shown for p in query.parameters) for query in found],
                "help": [query.summary for query in found],
            },
        )

    def tables(self) -> dict[str, list[str]]:
        """The tables and views of the database by name, each with its columns; temporary ones too."""
        return read.tables(self._known_now().session)

    def labels(self, model: str | None = None) -> list[str]:
        """The labels of one model, or of all, each once. Raises UnknownModelError."""
        known = self._known_now()
        return known.labels(None if model is None else known.lookup.models(model)[0].model_id)

    def sql_words(self) -> tuple[list[str], list[str]]:
        """What SQL is made of: its words, and the names of its functions."""
        return self._known_now().sql_words

    @cached_property
    def named_queries(self) -> dict[str, NamedQuery]:
        """The named queries by name, classrel's own and those of your folder."""
        found = [*query_files.shipped(), *self._own_queries]
        return {query.name: query for query in sorted(found, key=lambda query: query.name)}

    def remove(self, model: str) -> None:
        """Delete one model from the database, and its index file. Raises UnknownModelError."""
        from classrel_db.storage import write

        (found,) = self._known_now().lookup.models(model)
        with self._written() as connection:
            write.delete_model(connection, found.model_id)
        self._indexes.remove(found.rows_sha256)

    def check(self) -> DuckDBPyRelation:
        """Hold what is stored against itself and, on a sample, against the weights.

        Columns: model, check, ok (boolean), detail.
        """
        from classrel_db.catalog.verify import findings
        from classrel_db.storage import arrays

        found = list(self._database.findings())
        if all(each.ok for each in found):  # else it may not even open
            found += findings(self._database.reader(), self._indexes)
        return arrays.table(
            {
                "model": ("VARCHAR", [each.model for each in found]),
                "check": ("VARCHAR", [each.check for each in found]),
                "ok": ("BOOLEAN", [each.ok for each in found]),
                "detail": ("VARCHAR", [each.detail for each in found]),
            }
        )
