"""The part of a catalog that holds models against taxonomies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.catalog.arguments import (
    MOST_DRAWS,
    require_count,
    require_measures,
    require_name,
    require_one_of,
)
from classrel_db.catalog.trees import Trees
from classrel_db.errors import ArgumentError
from classrel_db.records import DEFAULT_PERMUTATIONS, RESAMPLES, TAXONOMY_KINDS
from classrel_db.spelling import quoted
from classrel_db.storage import taxonomies

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog.forest import Forest
    from classrel_db.catalog.placing import PlacedModel
    from classrel_db.records import Linkage, Progress, Taxonomy, TaxonomyKind, TreeDistance

_BUILT_IN = "wordnet"
_NEAR = 10  # neighbours whose purity is looked at


class Taxonomies(Trees):
    """Taxonomies: ``wordnet``, of the ImageNet-1k classes, is there; others are added from files.

    A class is found in one by its concept, in any case and with blanks for underscores.
    """

    def taxonomies(self) -> DuckDBPyRelation:
        """The taxonomies: taxonomy, kind, taxa, ranks, depth (edges), source, added_at (UTC)."""
        return taxonomies.listing(self._database.reader())

    def add_taxonomy(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        kind: TaxonomyKind | None = None,
        replace: bool = False,
    ) -> Taxonomy:
        """Read a taxonomy from a file and keep it under ``name``; what was read is returned.

        ``kind``, told from the file where it is not given: ``lineage``, a table with a column a rank, the
        highest first, as kingdom … species (also ``synonyms``, ``concept``, ``label``); ``edges``, a table
        with the columns child and parent (also rank, label, length, synonyms, concept); ``newick``.
        Its ``notes`` say what was mended. Raises TaxonomyError for what can't be read, ArgumentError for a
        name that is taken, without ``replace``.
        """
        from classrel_db.sources.taxonomy import read_taxonomy

        name = require_name(name, "a taxonomy")
        if kind is not None:
            require_one_of("kind", kind, TAXONOMY_KINDS)
        if name == _BUILT_IN:
            raise ArgumentError(f"{quoted(name)} comes with classrel, and stays; take another name")
        if not replace:
            _require_free(name, taxonomies.names(self._database.reader()))
        found = read_taxonomy(Path(path), kind)
        with self._written() as connection:
            if not replace:  # another may have come meanwhile
                _require_free(name, taxonomies.names(connection))
            taxonomies.store(connection, name, found)
        return found

    def remove_taxonomy(self, name: str) -> None:
        """Delete a taxonomy. Raises ArgumentError for one that is not there, and for ``wordnet``."""
        from classrel_db.catalog.tree_rows import require_taxonomy

        require_taxonomy(self._database.reader(), name)
        if name == _BUILT_IN:
            raise ArgumentError(f"{quoted(name)} comes with classrel, and stays")
        with self._written() as connection:
            taxonomies.remove(connection, name)

    def match_taxonomy(self, model: str, taxonomy: str = _BUILT_IN) -> DuckDBPyRelation:
        """Which class of a model is which taxon: model, class_idx, class, concept, taxonomy, taxon, label,
        rank (NULL where the class matches none). Raises UnknownModelError, ArgumentError."""
        from classrel_db.catalog.tree_rows import require_taxonomy

        (chosen,) = self._known_now().lookup.models(model)
        connection = self._database.reader()
        require_taxonomy(connection, taxonomy)
        return taxonomies.matches(connection, taxonomy, chosen.model_id)

    def compare_taxonomy(
        self,
        models: str | Sequence[str],
        taxonomy: str = _BUILT_IN,
        *,
        measures: str | Sequence[str] | None = None,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
        permutations: int = DEFAULT_PERMUTATIONS,
        resamples: int = RESAMPLES,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """How far the classes of ``models`` are related as in a taxonomy, a row a measure.

        ``measures`` are some of :data:`classrel_db.maths.taxonomic.TAXONOMY_MEASURES`: path, wu-palmer and
        lca-depth (RSA: Spearman's correlation over pairs of classes with the cosine; p is the Mantel
        test's), triplets, and monophyly (of the tree by ``method`` and ``distance``). In a DAG the path is
        the shortest, Wu-Palmer the largest and the common ancestor the deepest that there is; branches count
        1 where the taxonomy gives no lengths.

        Columns: model, taxonomy, measure, n (classes in the taxonomy), estimate, low and high (95 % bootstrap
        interval over classes; NULL for triplets and monophyly), p_value (one-sided, of ``permutations``
        of the classes), null_value, permutations (at most 99 for triplets), resamples, seed. Raises
        UnknownModelError, ArgumentError: also where fewer than 4 classes are in the taxonomy.
        """
        from classrel_db.catalog import placing
        from classrel_db.maths.taxonomic import TAXONOMY_MEASURES
        from classrel_db.storage import arrays

        require_count("permutations", permutations, 0, MOST_DRAWS)
        require_count("resamples", resamples, 0, MOST_DRAWS)
        require_count("seed", seed, 0, 2**63 - 1)
        names = require_measures(measures, list(TAXONOMY_MEASURES), "measure against a taxonomy")
        with self._forest(method, distance, progress) as forest:
            chosen = self._known_now().lookup.models(models)
            connection = self._database.reader()
            placed = [placing.PlacedModel(connection, forest, model, taxonomy) for model in chosen]
            columns = placing.comparison_columns(
                placed, forest, names, permutations, resamples, seed
            )
        return arrays.table(columns)

    def taxonomy_clades(
        self,
        model: str,
        taxonomy: str = _BUILT_IN,
        *,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
    ) -> DuckDBPyRelation:
        """Whether a model's tree keeps each taxon together: a row for each of two classes or more.

        Of taxa with the same classes the lowest alone. Columns: model, taxonomy, taxon, label, rank, depth,
        classes, monophyletic, f1 (of the clade that fits best: 2·shared / (classes + clade)), clade (its
        size), smallest (the size of the smallest clade that has them all), missing and intruding (labels:
        what the best clade lacks, and has too many). The largest taxa first. Raises as
        :meth:`compare_taxonomy`.
        """
        from classrel_db.catalog import placing
        from classrel_db.storage import arrays

        with self._forest(method, distance, None) as forest:
            columns = placing.clade_columns(self._placed(model, taxonomy, forest))
        return arrays.table(columns)

    def taxonomy_purity(
        self,
        model: str,
        taxonomy: str = _BUILT_IN,
        *,
        k: int | None = None,
        permutations: int = DEFAULT_PERMUTATIONS,
        seed: int = 0,
    ) -> DuckDBPyRelation:
        """How many of the nearest neighbours are of the same genus, family … : a row a rank.

        Among the classes that have a taxon of the rank, and another class of it; where a taxonomy has no
        ranks, of those that are as deep, and being of the same at depth 7 means to have a common ancestor
        at that depth or below. Columns: model, taxonomy, rank, k, n (classes), groups (taxa; NULL where
        there are no ranks), purity (the mean share of the ``k`` nearest, 10 by default), chance (the share of
        all others), most (what purity can be at most, where groups are smaller than k), ratio (purity by
        chance), p_value (one-sided, of ``permutations`` of the classes), permutations, seed. The lowest rank
        first. Raises as :meth:`compare_taxonomy`.
        """
        from classrel_db.catalog import placing
        from classrel_db.storage import arrays

        require_count("permutations", permutations, 0, MOST_DRAWS)
        require_count("seed", seed, 0, 2**63 - 1)
        with self._forest("ward", "chord", None) as forest:
            placed = self._placed(model, taxonomy, forest)
            near = min(_NEAR, placed.n - 1) if k is None else k
            require_count("k", near, 1, placed.n - 1, "other classes")
            columns = placing.purity_columns(placed, near, permutations, seed)
        return arrays.table(columns)

    def taxonomy_surprises(
        self, model: str, taxonomy: str = _BUILT_IN, *, k: int = 20
    ) -> DuckDBPyRelation:
        """The pairs of classes that stand otherwise in a model than in a taxonomy, up to ``k`` of each kind.

        Columns: model, taxonomy, surprise (``closer`` in the model than in the taxonomy, then ``farther``),
        rank, class_a, class_b, cosine, path (the length of the shortest way), common (their lowest common
        ancestor), depth, cosine_share and path_share (the shares of all pairs that are less alike in the
        model, and farther apart in the taxonomy; equal ones count half), difference of the two, by which they
        are ranked. A closer pair is more alike than half of all pairs, and farther apart than half; a
        farther one the other way round. Raises as :meth:`compare_taxonomy`.
        """
        from classrel_db.catalog import placing
        from classrel_db.storage import arrays

        with self._forest("ward", "chord", None) as forest:
            placed = self._placed(model, taxonomy, forest)
            require_count("k", k, 1, placed.n * (placed.n - 1) // 2, "pairs")
            columns = placing.surprise_columns(placed, k)
        return arrays.table(columns)

    def _placed(self, model: str, taxonomy: str, forest: Forest) -> PlacedModel:
        from classrel_db.catalog.placing import PlacedModel

        (chosen,) = self._known_now().lookup.models(model)
        return PlacedModel(self._database.reader(), forest, chosen, taxonomy)


def _require_free(name: str, taken: Sequence[str]) -> None:
    if name in taken:
        raise ArgumentError(
            f"there is a taxonomy {quoted(name)} already; take another name, or put this one in its "
            "place with --replace"
        )
