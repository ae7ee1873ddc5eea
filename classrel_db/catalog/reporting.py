"""What the explorer shows, gathered from a catalog: all of a few models, at once."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.catalog.classwise import disagreement
from classrel_db.catalog.heads import require_memory
from classrel_db.catalog.tree_rows import Named
from classrel_db.errors import ArgumentError, DatabaseError
from classrel_db.maths import unit
from classrel_db.maths.geometry import LEAST_CLASSES
from classrel_db.maths.similarity import block_matrix, block_starts
from classrel_db.maths.support import neighbor_support
from classrel_db.records import Step
from classrel_db.storage import arrays, comparisons, read, trees

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from classrel_db.catalog.comparing import Comparing
    from classrel_db.catalog.forest import Forest
    from classrel_db.maths.trees.tree import Tree
    from classrel_db.records import CladeSupport, StoredClass, StoredComparison, StoredModel

MOST_WHOLE = 2_000  # classes up to which every pair is shown, and support is found unasked
MOST_GROWN = 12_000  # classes up to which a tree that is not stored is made for a report
BLOCKS = 512  # into which the matrix of a larger head is averaged
_RESAMPLES = 100  # of the dimensions: a share is known to within 0.1
_MOST_COUPLES = 15  # of models that are compared for a report
_DISAGREEING = 50  # classes listed of two models
_LISTED = ("class", "concept", "correlation", "jaccard", "gained", "lost")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a report is asked for. ``resamples`` None: 100 for heads of up to 2,000 classes."""

    k: int
    resamples: int | None
    seed: int
    taxonomy: str

    def resamples_of(self, model: StoredModel) -> int:
        if self.resamples is not None:
            return self.resamples
        return _RESAMPLES if model.n_classes <= MOST_WHOLE else 0


@dataclass(frozen=True)
class ReportedTree:
    """The tree of one model: linkage ``Z`` ((C-1)×4), leaf ``order`` (C,), and of each merge the taxon that
    fits it best with its F1, the class that is most like its others, and the shares by which it is
    supported, by kind."""

    Z: NDArray[np.float64]
    order: NDArray[np.int64]
    names: list[str | None]
    f1: NDArray[np.float32]
    medoids: NDArray[np.int64]
    support: dict[str, CladeSupport]


@dataclass(frozen=True)
class Blocks:
    """The mean cosine (m×m) between blocks of classes that are neighbours in an ``order`` (C,): block i has
    those from ``starts[i]`` on. NaN on the diagonal where a block has but one."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    cosine: NDArray[np.float32]


@dataclass(frozen=True)
class ReportedModel:
    """All that is shown of one model.

    ``neighbors`` and ``cosines`` C×K are those stored, ``support`` C×k is of the first k of them.
    ``pairs`` (C(C-1)/2,) are the cosines of all a < b, by a and then b; instead of them a large head has
    ``blocks``, by the name of their order: class, leaf. ``left_out`` says what is missing, and why.
    """

    model: StoredModel
    classes: list[StoredClass]
    neighbors: NDArray[np.int64]
    cosines: NDArray[np.float32]
    support: NDArray[np.float64] | None
    pairs: NDArray[np.float32] | None
    blocks: dict[str, Blocks]
    tree: ReportedTree | None
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Disagreement:
    """The classes on which two models agree least, a dict a class, as :meth:`Catalog.disagree` has them."""

    model_a: str
    model_b: str
    n: int
    classes: list[dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """What a page is made of. ``read_as`` are the concepts that count as another; ``notes`` say which models
    could not be compared, and why."""

    settings: Settings
    models: list[ReportedModel]
    comparisons: list[dict[str, Any]]
    disagreements: list[Disagreement]
    read_as: dict[str, str]
    notes: list[str]
    method: str
    distance: str


def gathered(
    forest: Forest, comparing: Comparing, chosen: Sequence[StoredModel], settings: Settings
) -> Report:
    """The report on these models; what is missing in the file is computed."""
    shown = []
    for number, model in enumerate(chosen, 1):
        shown.append(_shown(forest, model, settings))
        forest.tell(Step("", "heads", number, len(chosen)))
    compared, disagreements, notes = _couples(forest, comparing, chosen, settings.seed)
    read_as = comparing.alignment.read_as
    return Report(
        settings, shown, compared, disagreements, read_as, notes, forest.method, forest.distance
    )


def _shown(forest: Forest, model: StoredModel, settings: Settings) -> ReportedModel:
    connection = forest.reader()
    n = model.n_classes
    rows = forest.heads.rows(model)
    try:
        nearest = arrays.stored_neighbors(connection, model, min(n - 1, read.STORED_NEIGHBORS))
    except ValueError as error:
        raise DatabaseError(
            f"{model.name}: {error}; ingest the head again with --replace"
        ) from error
    neighbors, cosines = nearest
    left_out = []
    tree = None
    kept = (forest.method, forest.distance) in trees.stored_trees(connection, model)
    if n <= MOST_GROWN or kept:
        tree = _grown(forest, model, rows, settings.taxonomy)
    else:
        left_out.append(
            f"the tree: of more than {MOST_GROWN:,} classes it is shown only where it is stored; "
            f"`classrel tree {shlex.quote(model.name)} --by tree` makes and stores it, where memory holds it"
        )
    support = _support(forest, model, rows, neighbors[:, : settings.k], settings)
    if support is None and settings.resamples is None:
        left_out.append(
            f"the support of neighbours: of more than {MOST_WHOLE:,} classes it is found only when it is "
            "asked for, with --resamples"
        )
    pairs, blocks = None, {}
    if n <= MOST_WHOLE:
        pairs = forest.heads.cosines(model)
    else:
        left_out.append(
            f"the cosines of single pairs beyond the {neighbors.shape[1]} nearest: the matrix shows their "
            f"means over {BLOCKS} × {BLOCKS} blocks of classes"
        )
        orders = {"class": np.arange(n)} | ({"leaf": tree.order} if tree else {})
        starts = block_starts(n, BLOCKS)
        for name, order in orders.items():
            blocks[name] = Blocks(order, starts, block_matrix(rows[order], starts)[0])
    return ReportedModel(
        model=model,
        classes=read.stored_classes(connection, [model.model_id]),
        neighbors=neighbors,
        cosines=cosines,
        support=support,
        pairs=pairs,
        blocks=blocks,
        tree=tree,
        left_out=tuple(left_out),
    )


def _support(
    forest: Forest,
    model: StoredModel,
    rows: NDArray[np.float32],
    neighbors: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.float64] | None:
    resamples = settings.resamples_of(model)
    if not resamples:
        return None
    return neighbor_support(
        rows,
        neighbors,
        standardized=model.normalization == "standardize",
        resamples=resamples,
        seed=settings.seed,
        progress=lambda done: forest.tell(Step(model.name, "support", done, resamples)),
    )


def _grown(
    forest: Forest, model: StoredModel, rows: NDArray[np.float32], taxonomy: str
) -> ReportedTree:
    grown = forest.grown(model)
    named = Named(forest.reader(), model, taxonomy)
    fit = named.fit(grown.tree)
    merges = slice(grown.tree.n, None)
    return ReportedTree(
        Z=grown.stored.Z,
        order=grown.stored.order,
        names=[named.label(taxon) for taxon in fit.taxon[merges].tolist()],
        f1=np.asarray(fit.f1[merges], dtype=np.float32),
        medoids=_medoids(rows, grown.tree),
        support=forest.known_support(model),
    )


def _medoids(rows: NDArray[np.float32], tree: Tree) -> NDArray[np.int64]:
    """Of each merge (n-1,) the class with the largest mean cosine with the others of its clade."""
    U = unit(rows)[tree.order]
    sums = np.concatenate([np.zeros((1, U.shape[1])), np.cumsum(U, axis=0)])
    found = []
    for first, last in tree.spans[tree.n :].tolist():
        central = int(np.argmax(U[first:last] @ (sums[last] - sums[first])))
        found.append(tree.order[first + central])
    return np.asarray(found, dtype=np.int64)


def _couples(
    forest: Forest, comparing: Comparing, chosen: Sequence[StoredModel], seed: int
) -> tuple[list[dict[str, Any]], list[Disagreement], list[str]]:
    """How every two models agree, and the classes on which they don't; and what there is not to say."""
    by_id = {model.model_id: model for model in chosen}
    measures = comparing.measures
    found = {
        _key(each): each
        for each in comparisons.stored_comparisons(forest.reader())
        if _is_own(each, by_id)
    }
    couples = list(combinations(sorted(chosen, key=lambda model: model.model_id), 2))
    notes: list[str] = []
    disagreements = []
    if len(couples) > _MOST_COUPLES:
        notes.append(
            f"{len(chosen)} models make {len(couples):,} couples: of more than {_MOST_COUPLES} only stored "
            "comparisons are shown, and no classes that they disagree on; `classrel compare --all` "
            "compares and stores them, and -m chooses models"
        )
        couples = []
    for number, (a, b) in enumerate(couples, 1):
        is_stored = any(key[:2] == (a.model_id, b.model_id) for key in found)
        obstacle = _obstacle(comparing, a, b, is_stored=is_stored)
        if obstacle:
            notes.append(obstacle)
        else:
            if any(
                (a.model_id, b.model_id, measure.name, None) not in found for measure in measures
            ):
                found |= {_key(each): each for each in comparing.named([a, b])}
            disagreements.append(_disagreement(forest, comparing, a, b, seed))
        forest.tell(Step("", "models", number, len(couples)))
    rows = [
        asdict(each) | {"model_a": by_id[each.model_a].name, "model_b": by_id[each.model_b].name}
        for _, each in sorted(found.items(), key=lambda item: str(item[0]))
    ]
    return rows, disagreements, notes


def _obstacle(
    comparing: Comparing, a: StoredModel, b: StoredModel, *, is_stored: bool
) -> str | None:
    """Why two models are not compared for a report, and what to do; None where they can be."""
    both = f"{a.name} and {b.name}"
    names = shlex.join([a.name, b.name])
    shared = len(comparing.alignment.shared(a, b))
    if shared < LEAST_CLASSES:
        what = f"only {shared} of the {LEAST_CLASSES} classes needed" if shared else "no class"
        return (
            f"{both} are not compared: they share {what}. Classes are the same by their concept; "
            "`classrel map FILE` says which others are"
        )
    if a.normalization != b.normalization:
        return (
            f"{both} are not compared: {a.name} is normalised by {a.normalization} and {b.name} by "
            f"{b.normalization}, and numbers of the one mean something else in the other; `classrel compare "
            f"{names} --normalize {a.normalization}` compares the raw heads under one"
        )
    larger = [
        f"{model.name} has {model.n_classes:,} classes, more than {MOST_WHOLE:,}"
        for model in (a, b)
        if model.n_classes > MOST_WHOLE
    ]
    if larger and is_stored:
        return f"the classes on which {both} disagree are left out: {larger[0]}"
    try:
        require_memory(shared)
    except ArgumentError as error:
        return f"{both} are not compared: {error}"
    if larger:
        return (
            f"{both} are not compared: {larger[0]}; `classrel compare --all {names}` compares and stores "
            "them"
        )
    return None


def _disagreement(
    forest: Forest, comparing: Comparing, a: StoredModel, b: StoredModel, seed: int
) -> Disagreement:
    shared = len(comparing.shared(a, b))
    columns = disagreement(
        forest.reader(),
        comparing,
        a,
        b,
        k=min(_DISAGREEING, shared),
        near=None,
        permutations=0,
        seed=seed,
        tell=lambda _step: None,
    )
    values = zip(*(columns[name][1] for name in _LISTED), strict=True)
    rows = [dict(zip(_LISTED, row, strict=True)) for row in values]
    return Disagreement(a.name, b.name, shared, rows)


def _key(each: StoredComparison) -> tuple[int, int, str, int | None]:
    return each.model_a, each.model_b, each.measure, each.k


def _is_own(each: StoredComparison, models: dict[int, StoredModel]) -> bool:
    """Whether it is of two of these models, as they are normalised in the database."""
    if each.model_a not in models or each.model_b not in models:
        return False
    a, b = models[each.model_a], models[each.model_b]
    return a.normalization == b.normalization == each.normalization
