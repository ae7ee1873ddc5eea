"""The part of a catalog that compares models: as wholes, class by class, over groups of them."""

from __future__ import annotations

import csv
import os
import time
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.catalog.arguments import MOST_DRAWS, memory_bytes, require_count, require_one_of
from classrel_db.catalog.opened import Opened
from classrel_db.errors import ArgumentError, LockedDatabaseError
from classrel_db.records import DEFAULT_PERMUTATIONS, NORMALIZATIONS
from classrel_db.spelling import did_you_mean, quoted
from classrel_db.storage import comparisons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from duckdb import DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.catalog.comparing import Comparing
    from classrel_db.maths.measures import Measure
    from classrel_db.records import Normalization, Progress, StoredComparison, StoredModel


_PATIENCE = 20  # half seconds that finished comparisons wait for a file that another process holds


class Agreement(Opened):
    """What two models, or all of them, have in common.

    Classes are the same where their concepts are, or where :meth:`map_concepts` has said so. All of
    these compare the rows as they are normalised in the database; ``normalize`` compares the raw heads
    under one normalisation instead, which models of unlike ones need. ``ancestors`` lets a class count
    as the nearest WordNet ancestor that the other model has, where that is unambiguous. Everything
    random has a ``seed`` and is the same for the same seed.
    """

    def compare(
        self,
        *models: str,
        measures: str | Sequence[str] | None = None,
        k: int | None = None,
        permutations: int | None = None,
        resamples: int = 1_000,
        seed: int = 0,
        normalize: Normalization | None = None,
        ancestors: bool = False,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """How far every two of ``models`` agree, on the classes that they share: a row a measure.

        ``measures`` are some of :data:`classrel_db.maths.measures.MEASURES`, which say how to read them;
        all by default. ``k`` is for those that count nearest classes: 25, or half of the shared ones.

        Columns: model_a, model_b, measure, n (shared classes), estimate, low and high (95 % bootstrap
        interval over classes), p_value (one-sided, from ``permutations`` of the classes of one model:
        the Mantel test; 999, but 99 for procrustes), null_value (what heads with nothing in common
        would give), q_value (p adjusted over the pairs of models shown, Benjamini & Hochberg 1995),
        normalization, k, permutations, resamples, seed. What is not defined, as for a head whose
        cosines are all equal, is NULL; so is p without permutations, and the interval without ``resamples``.

        Raises UnknownModelError and ArgumentError: fewer than two models, one named twice, models in
        different normalisations, fewer than 4 shared classes, k beyond them, an unknown measure.
        """
        chosen = self._distinct(models)
        comparing = self._comparing(
            measures, k, permutations, resamples, seed, normalize, ancestors, progress
        )
        found = comparing.named(chosen)
        order = {frozenset(two): two for two in combinations([m.model_id for m in chosen], 2)}
        return self._rows(
            [(*order[frozenset((each.model_a, each.model_b))], each) for each in found], chosen
        )

    def compare_all(
        self,
        models: str | Sequence[str] | None = None,
        *,
        measures: str | Sequence[str] = "rsa-spearman",
        k: int | None = None,
        permutations: int = 0,
        resamples: int = 0,
        seed: int = 0,
        normalize: Normalization | None = None,
        ancestors: bool = False,
        memory: str | int | None = None,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """Every two of ``models``, or of all, kept in the table ``comparisons``; only what is missing
        is computed.

        Columns as of :meth:`compare`; rows by measure and in the order of ingest. Pairs of
        models in unlike normalisations or with fewer than 4 shared classes are left out.
        ``permutations`` and ``resamples`` are 0 by default, for they take seconds a pair. What is
        finished when an interruption comes is kept. ``memory``, ``"4GB"`` or a number of bytes, bounds what
        is held of the heads; by default it is half of what is free. No number depends on it beyond the
        rounding of double precision. Raises as :meth:`compare`, and ArgumentError for too little memory.
        """
        if ancestors:
            raise ArgumentError(
                "what is kept in the database is compared by concept and by the map alone; name the "
                "models to compare them with ancestors"
            )
        chosen = self._known_now().lookup.models(models)
        allowed = memory_bytes(memory)
        comparing = self._comparing(
            measures, k, permutations, resamples, seed, normalize, False, progress, allowed
        )
        return self._swept(comparing, chosen, allowed, progress)

    def _swept(
        self,
        comparing: Comparing,
        chosen: Sequence[StoredModel],
        memory: int,
        progress: Progress | None,
    ) -> DuckDBPyRelation:
        """The answer of :meth:`compare_all`, with what was missing computed and kept."""
        from classrel_db.catalog.couples import Couples, Sweep, with_q_values

        couples, normalization = Couples(comparing, chosen), comparing.settings.normalization
        asked = couples.asked()

        def known(measure: Measure) -> dict[str, NDArray[Any]]:
            return comparisons.states(
                self._database.reader(), asked, measure.name, normalization, uses_k=measure.uses_k
            )

        def keep(found: Sequence[comparisons.Rows], patient: bool) -> None:
            for patience in range(_PATIENCE if patient else 0, -1, -1):
                try:
                    with self._written() as connection:
                        comparisons.store_comparisons(
                            connection, found, comparing.alignment.read_as
                        )
                    break
                except LockedDatabaseError:
                    if not patience:
                        raise
                    time.sleep(0.5)

        sweep = Sweep(comparing, couples, keep, memory, progress or (lambda _step: None))
        try:
            sweep.run(known)
        finally:
            if sweep.begun:
                self.close()  # and with the file goes the bound on what DuckDB holds of it
        measures = comparing.measures
        rows = comparisons.answer(
            self._database.reader(),
            asked,
            [measure.name for measure in measures],
            [measure.name for measure in measures if measure.uses_k],
            normalization,
        )
        return with_q_values(self._database.reader(), rows)

    def group_agreement(
        self,
        by: str,
        models: str | Sequence[str] | None = None,
        *,
        measure: str = "rsa-spearman",
        permutations: int = 9_999,
        seed: int = 0,
        **settings: Any,
    ) -> DuckDBPyRelation:
        """Whether models of one group agree more than models of two: means, and a permutation test.

        ``by`` is a column of ``models`` (source, label_space, normalization, dim, n_classes) or the key
        of a tag; models without it are left out. ``settings`` are those of :meth:`compare_all`.

        Columns: measure, part (``within`` and ``between`` groups, and of every two groups), group_a,
        group_b, pairs (of models), mean, p_value (one-sided, of within less between, which is the
        row ``difference``), permutations (groupings tried), seed. Raises ArgumentError for an unknown
        ``by``, and where there are no two groups to compare.
        """
        from classrel_db.catalog.grouping import grouped

        require_count("permutations", permutations, 1, MOST_DRAWS)
        chosen = self._known_now().lookup.models(models)
        groups = self._groups(by, chosen)
        members = [model for model in chosen if model.model_id in groups]
        if len(set(groups.values())) < 2:
            only = f"only {quoted(next(iter(groups.values())))}" if groups else "no group"
            raise ArgumentError(
                f"{by} makes {only} of {len(members)} models; groups need two values at least: see "
                "`classrel models`, or tag models with `classrel tag MODEL key=value`"
            )
        rows = self.compare_all([m.name for m in members], measures=measure, seed=seed, **settings)
        return grouped(
            rows,
            {model.name: groups[model.model_id] for model in members},
            measure,
            permutations,
            seed,
        )

    def noise_ceiling(
        self,
        *models: str,
        measures: str | Sequence[str] = "rsa-spearman",
        normalize: Normalization | None = None,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """How well any model could agree with these (or with all), of each label space with three.

        Columns: measure, label_space, normalization, model, models (of both), n, lower (its agreement with
        the mean of the other models), upper (with the mean of all, itself among them). The means of the
        two over models bound what a model can reach that is as near to all of them as can be. For
        measures that correlate pairs (rsa-pearson, rsa-spearman, second-order-cosine). Raises
        ArgumentError for fewer than three models, other measures, and as :meth:`compare`.
        """
        from classrel_db.catalog.grouping import ceiling

        chosen = self._known_now().lookup.models(models or None)
        comparing = self._comparing(measures, None, 0, 0, 0, normalize, False, progress)
        return ceiling(comparing, chosen)

    def disagree(
        self,
        model_a: str,
        model_b: str,
        *,
        k: int | None = None,
        near: int | None = None,
        permutations: int | None = None,
        seed: int = 0,
        normalize: Normalization | None = None,
        ancestors: bool = False,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """The ``k`` classes (20) whose relations to all others differ most between two models.

        Columns: model_a, model_b, rank, class, concept, n, correlation (Spearman, of the class's
        cosines with the n-1 others in both models), p_value (one-sided: is there more agreement than if
        the others were matched at random, of 999 ``permutations``?), q_value (over all n classes,
        Benjamini & Hochberg 1995), jaccard, gained and lost: the share of the ``near`` (10) nearest that
        both models have, those only model_b has, and those only model_a has. NULL where a class's
        cosines are all equal.
        Raises as :meth:`compare`.
        """
        from classrel_db.catalog.classwise import disagreement
        from classrel_db.storage import arrays

        a, b = self._distinct((model_a, model_b))
        permutations = DEFAULT_PERMUTATIONS if permutations is None else permutations
        comparing = self._comparing(
            None, None, permutations, 0, seed, normalize, ancestors, progress
        )
        columns = disagreement(
            self._database.reader(),
            comparing,
            a,
            b,
            k=k,
            near=near,
            permutations=permutations,
            seed=seed,
            tell=progress or (lambda _step: None),
        )
        return arrays.table(columns)

    def counterpart(
        self,
        query: str | int,
        model_a: str,
        model_b: str,
        *,
        k: int | None = None,
        normalize: Normalization | None = None,
        ancestors: bool = False,
    ) -> DuckDBPyRelation:
        """Which classes of ``model_b`` play the part that a class plays in ``model_a``.

        A class is placed by its cosines with the shared classes, the anchors (relative representations,
        Moschella et al. 2023, ICLR), which puts the classes of both models into one space, whatever their
        widths and label spaces. A class that both models have is no anchor for itself.

        Columns: model_a, class, model_b, rank, counterpart, counterpart_concept, similarity (cosine of
        the places, in [-1, 1]), same_concept (NULL where model_b has no such class), anchors (their
        number), accuracy and accuracy_5 (the share of shared classes that find their own twin first,
        and among the first five, when it is left out of the anchors: how far to trust the answer).
        Raises UnknownClassError, AmbiguousClassError, and as :meth:`compare`.
        """
        from classrel_db.catalog.classwise import counterparts
        from classrel_db.storage import arrays

        a, b = self._distinct((model_a, model_b))
        focal = self._known_now().lookup.find(query, [a])[a.model_id]
        comparing = self._comparing(None, None, 0, 0, 0, normalize, ancestors, None)
        return arrays.table(counterparts(self._database.reader(), comparing, focal, a, b, k))

    def tag(self, model: str, /, **values: str) -> None:
        """Say something of a model, ``tag("resnet50", family="cnn")``; an empty value takes it back.

        Raises UnknownModelError, and ArgumentError for a key that is a column of ``models``.
        """
        for key, value in values.items():
            if not isinstance(value, str):
                raise ArgumentError(f"the value of a tag is text, not {value!r}")
            if key in _columns():
                raise ArgumentError(f"{quoted(key)} is a column of models; a tag needs another key")
            if not (key.isidentifier() and value.isprintable() and len(key + value) <= 200):
                raise ArgumentError(
                    f"{quoted(f'{key}={value}')} can't be a tag: a key is a word of letters, digits and _, "
                    "a value printable text, of 200 characters together"
                )
        (found,) = self._known_now().lookup.models(model)
        with self._written() as connection:
            comparisons.set_tags(connection, found.model_id, values)

    def tags(self, models: str | Sequence[str] | None = None) -> DuckDBPyRelation:
        """The tags of these models, or of all: model, key, value."""
        chosen = self._known_now().lookup.models(models)
        return comparisons.tags(self._database.reader(), [model.model_id for model in chosen])

    def map_concepts(self, mapping: Mapping[str, str] | str | os.PathLike[str] | None) -> int:
        """Say which concepts are the same in two label spaces, in place of what was said before.

        ``mapping`` is {concept_a: concept_b}, or a csv file with these two columns, or None for no
        mapping at all. concept_b is read as concept_a wherever models are compared. Returns how many
        pairs there are. Raises ArgumentError for a file that is none, and for concepts that are
        unknown, doubled, or two classes of one model; the old mapping then stays.
        """
        from classrel_db.catalog.alignment import require_map

        source = "the mapping"
        if isinstance(mapping, str | os.PathLike):
            source = os.fspath(mapping)
            pairs = _read_map(Path(mapping))
        else:
            pairs = list((mapping or {}).items())
        if not all(isinstance(each, str) and each for pair in pairs for each in pair):
            raise ArgumentError(f"{source}: a concept is text, and not empty")
        require_map(self._database.reader(), pairs, source)
        with self._written() as connection:
            comparisons.replace_concept_map(connection, pairs)
        return len(pairs)

    def mapped_concepts(self) -> DuckDBPyRelation:
        """What :meth:`map_concepts` was told: concept_a, concept_b."""
        return comparisons.mapped_concepts(self._database.reader())

    def _comparing(
        self,
        measures: str | Sequence[str] | None,
        k: int | None,
        permutations: int | None,
        resamples: int,
        seed: int,
        normalize: Normalization | None,
        ancestors: bool,
        progress: Progress | None,
        memory: int | None = None,
    ) -> Comparing:
        from classrel_db.catalog.comparing import Comparing, Settings, measures_named

        if k is not None:
            require_count("k", k, 1, None)
        if permutations is not None:
            require_count("permutations", permutations, 0, MOST_DRAWS)
        require_count("resamples", resamples, 0, MOST_DRAWS)
        require_count("seed", seed, 0, 2**63 - 1)
        if normalize is not None:
            require_one_of("normalize", normalize, NORMALIZATIONS)
        settings = Settings(measures_named(measures), k, permutations, resamples, seed, normalize)
        return Comparing(
            self._database.reader,
            settings,
            ancestors=ancestors,
            tell=progress or (lambda _step: None),
            memory=memory,
        )

    def _rows(
        self,
        found: Sequence[tuple[int, int, StoredComparison]],
        models: Sequence[StoredModel],
    ) -> DuckDBPyRelation:
        from classrel_db.catalog.grouping import comparison_columns
        from classrel_db.storage import arrays

        names = {model.model_id: model.name for model in models}
        return arrays.table(comparison_columns(found, names))

    def _groups(self, by: str, models: Sequence[StoredModel]) -> dict[int, str]:
        """The group of each model that has one."""
        connection = self._database.reader()
        if by in _columns():
            return {model.model_id: str(getattr(model, by)) for model in models}
        keys = comparisons.tag_keys(connection)
        if by not in keys:
            known = [*_columns(), *keys]
            raise ArgumentError(
                f"no column or tag {quoted(by)}{did_you_mean(by, known)}; models are grouped by "
                f"{', '.join(known)}"
            )
        values = comparisons.tag_values(connection, by)
        return {m.model_id: values[m.model_id] for m in models if m.model_id in values}


def _columns() -> tuple[str, ...]:
    """The columns of ``models`` by which models can be grouped."""
    return ("source", "label_space", "normalization", "n_classes", "dim")


def _read_map(path: Path) -> list[tuple[str, str]]:
    """The pairs of a csv file. Raises ArgumentError where it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError(f"can't read {path} as csv: {error}") from error
    header = [cell.strip() for cell in rows[0]] if rows else []
    if "concept_a" not in header or "concept_b" not in header:
        raise ArgumentError(
            f"{path} has the columns {', '.join(map(quoted, header)) or '(none)'}; a mapping is a csv "
            "file with a header and the columns concept_a and concept_b"
        )
    first, second = header.index("concept_a"), header.index("concept_b")
    pairs = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(first, second) or not (row[first].strip() and row[second].strip()):
            raise ArgumentError(f"{path}, line {number}: a concept is missing")
        pairs.append((row[first].strip(), row[second].strip()))
    if not pairs:
        raise ArgumentError(f"{path} has no pair of concepts; --clear takes the mapping away")
    return pairs
