"""Commands on trees: of one model, and of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from classrel_db.cli.desk import (
    desk_now,
    open_catalog,
    reading,
    reading_tree,
    show,
    tell,
    watched,
)
from classrel_db.cli.groups import WithDefault
from classrel_db.records import (
    CLADE_RESAMPLES,
    LINKAGES,
    TREE_DISTANCES,
    Linkage,
    TreeDistance,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyRelation

_method = click.option(
    "--method", type=click.Choice(LINKAGES), default="ward", show_default=True, help="The linkage."
)
_distance = click.option(
    "--distance",
    type=click.Choice(TREE_DISTANCES),
    default="chord",
    show_default=True,
    help="chord: sqrt(2-2cos). condensed: (1-cos)/2 less its minimum. profile: of rows of the matrix of "
    "(1-cos)/2, as in the published code. euclidean: of the normalised rows.",
)
names_option = click.option(
    "--taxonomy",
    default="wordnet",
    show_default=True,
    metavar="NAME",
    help="Name clades by the taxa of this taxonomy.",
)
_tips = click.option(
    "--tips",
    type=click.Choice(("label", "concept")),
    default="label",
    show_default=True,
    help="What to call the classes: concepts are ids, to join on in R.",
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="What everything random is drawn with."
)
permutations_option = click.option(
    "--permutations",
    type=int,
    default=999,
    show_default=True,
    metavar="N",
    help="Permutations of the classes behind each p and null.",
)


_by = click.option(
    "--by",
    type=click.Choice(("tree", "graph")),
    help="Go by the tree of all classes, or by their nearest neighbours alone.  [default: tree; graph for "
    "more classes than a tree is made of unasked]",
)
_neighbors = click.option(
    "--neighbors",
    type=int,
    metavar="K",
    help="By graph: join two classes that are each among the other's K nearest.  [default: 10]",
)
_resolution = click.option(
    "--resolution",
    type=float,
    metavar="R",
    help="By graph: how fine the clusters are; above 1 for more and smaller ones.  [default: 1]",
)
_MOST_DRAWN = 100  # clusters of a graph in a table


def by_graph(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what may go by the neighbour graph."""
    return _by(_neighbors(_resolution(command)))


def clustered(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which tree."""
    return _method(_distance(command))


@click.group(cls=WithDefault, default="show")
def tree() -> None:
    """Draw, compare and export trees of classes.

    `classrel tree MODEL` is short for `classrel tree show MODEL`, whose --help lists its options: a model's
    tree, all of it or the clade around a class, in the terminal or as Newick, Nexus, GraphML or rows.

    \b
    Examples:
      classrel tree efficientnet_lite0
      classrel tree efficientnet_lite0 --around 'Dungeness crab' --support
      classrel tree efficientnet_lite0 --format newick --output tree.nwk
      classrel tree compare efficientnet_lite0 efficientnet_lite2
      classrel tree consensus
    """


@tree.command(name="show")
@click.argument("model")
@click.option("--around", metavar="CLASS", help="The clade around this class.")
@click.option(
    "-k",
    type=int,
    help="With --around, classes of the clade at most; else clades to draw.  [default: 25; 30 in a drawing]",
)
@click.option("--all", "whole", is_flag=True, help="Draw every class.")
@click.option(
    "--support",
    is_flag=True,
    help="Find each clade's support: the share of bootstrap resamples of the dimensions that have it.",
)
@click.option(
    "--across", is_flag=True, help="Find in what share of the other models each clade is there."
)
@click.option(
    "--resamples",
    type=int,
    default=CLADE_RESAMPLES,
    show_default=True,
    metavar="N",
    help="Resamples for --support: some seconds for 100 of a head of 1,000 classes.",
)
@seed_option
@by_graph
@clustered
@names_option
@_tips
@reading_tree
def show_tree(
    model: str,
    around: str | None,
    k: int | None,
    whole: bool,
    support: bool,
    across: bool,
    resamples: int,
    seed: int,
    by: Literal["tree", "graph"] | None,
    neighbors: int | None,
    resolution: float | None,
    method: Linkage,
    distance: TreeDistance,
    taxonomy: str,
    tips: str,
    db: Path | None,
    **written: Any,
) -> None:
    """Draw the tree of a model's classes, or write it to a file.

    A drawing shows the topmost clades, each by the taxon that fits it best, with its number of classes;
    --around goes to one class. Files, and rows, have the whole tree. It is computed once and kept in
    the database (tables merges, leaves, clade_support), and so is the support that was asked for.

    Of a head of more than 30,000 classes, or than memory bears, the leaves are clusters of its neighbour
    graph, as `classrel cluster --by graph` has them, up to 2,000; with --around, the class and its nearest. A
    note says so, and such a tree is not kept.

    \b
    Examples:
      classrel tree efficientnet_lite0 -k 40
      classrel tree efficientnet_lite0 --around 'Dungeness crab' --support --across
      classrel tree efficientnet_lite0 --method average --output tree.nex
    """
    if whole and (k is not None or around is not None):
        raise click.UsageError("--all goes without -k and --around")
    if not support and _typed("resamples"):
        raise click.UsageError("--resamples is for --support")
    if not support and by != "graph" and _typed("seed"):
        raise click.UsageError("--seed is for --support and --by graph")
    with open_catalog(db) as catalog:
        if k is None and around is None and not whole and _is_drawn(written):
            k = min(30, int(catalog.info(model).project("n_classes").fetchall()[0][0]))
        with watched() as progress:
            rows = catalog.tree(
                model,
                around=around,
                k=k,
                method=method,
                distance=distance,
                support=support,
                resamples=resamples,
                seed=seed,
                across=across,
                taxonomy=taxonomy,
                by=by,
                neighbors=neighbors,
                resolution=resolution,
                progress=progress,
            )
        show(catalog, _called(rows, tips), written, "trees.dendrogram")
        said = f"{method} linkage of {distance} distances"
        drawn, seeded = rows.aggregate("max(resamples), max(seed)").fetchall()[0]
        if drawn is not None:
            said += f"; support of {drawn:,} resamples of the dimensions, seed {seeded}"
        tell(said)


def _typed(name: str) -> bool:
    """Whether an option was given, be it what it is by default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _is_drawn(written: dict[str, Any]) -> bool:
    return desk_now().draws(written["format"], written["output"])


def _called(rows: DuckDBPyRelation, tips: str) -> DuckDBPyRelation:
    """The nodes of a tree, the classes called by their concepts if so asked."""
    return (
        rows.project("* REPLACE (coalesce(concept, name) AS name)") if tips == "concept" else rows
    )


@tree.command(name="compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL...")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="Only this measure; may be repeated.  [default: all]",
)
@click.option(
    "-k",
    "ks",
    type=int,
    multiple=True,
    help="Clusters for the Fowlkes-Mallows index; may be repeated.  [default: 2, 5, 10, 20 …]",
)
@click.option("--bk", is_flag=True, help="Only the Fowlkes-Mallows index, as a curve over k.")
@permutations_option
@seed_option
@click.option(
    "--ancestors",
    is_flag=True,
    help="A class that the other model lacks counts as the nearest WordNet ancestor that it has.",
)
@clustered
@reading
def compare_trees(
    models: tuple[str, ...],
    measures: tuple[str, ...],
    ks: tuple[int, ...],
    bk: bool,
    permutations: int,
    seed: int,
    ancestors: bool,
    method: Linkage,
    distance: TreeDistance,
    db: Path | None,
    **written: Any,
) -> None:
    """Say how far the trees of models agree, each measure with p and what chance would give.

    On the classes that both models have. p is one-sided, of permutations of the leaves of one tree; the
    band is where 95 % of these permutations lie.

    \b
    Examples:
      classrel tree compare efficientnet_lite0 efficientnet_lite2
      classrel tree compare efficientnet_lite0 efficientnet_lite1 efficientnet_lite2 --measure triplets
      classrel tree compare efficientnet_lite0 efficientnet_lite2 --bk --output bk.csv
    """
    if bk and (measures or ks):
        raise click.UsageError("--bk goes without --measure and -k")
    if ks and measures and "fowlkes-mallows" not in measures:
        raise click.UsageError("-k is for --measure fowlkes-mallows")
    with open_catalog(db) as catalog:
        with watched() as progress:
            rows = catalog.compare_trees(
                *models,
                measures="fowlkes-mallows" if bk else measures or None,
                ks="curve" if bk else ks or None,
                method=method,
                distance=distance,
                permutations=permutations,
                seed=seed,
                ancestors=ancestors,
                progress=progress,
            )
        show(catalog, rows, written, "tree_tables.comparisons")
        drawn = (
            rows.filter("permutations > 0").project("permutations, measure").distinct().fetchall()
        )
        fewer = sorted(
            f"{count:,} for {measure}" for count, measure in drawn if count < max(drawn)[0]
        )
        tell(
            f"{method} linkage of {distance} distances; seed {seed}, {permutations:,} permutations"
            + (f" ({', '.join(fewer)})" if fewer else "")
            + "; p: is there more agreement than if the leaves were matched at random?"
        )


@tree.command(name="consensus")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--around", metavar="CLASS", help="The clade around this class.")
@click.option("-k", type=int, help="Classes of that clade at most.  [default: 25]")
@click.option("--all", "whole", is_flag=True, help="Draw every class.")
@clustered
@names_option
@_tips
@reading_tree
def consensus_tree(
    models: tuple[str, ...],
    around: str | None,
    k: int | None,
    whole: bool,
    method: Linkage,
    distance: TreeDistance,
    taxonomy: str,
    tips: str,
    db: Path | None,
    **written: Any,
) -> None:
    """Draw or write the clades that more than half of the models have, as a tree.

    Of all models, or of those named; on the classes that they all have. What no majority agrees on is
    left open: a node may have many branches. A drawing shows the topmost clades; files, and rows, have the
    whole tree.

    \b
    Examples:
      classrel tree consensus --around 'Dungeness crab'
      classrel tree consensus --output consensus.nwk
      classrel tree consensus efficientnet_lite0 efficientnet_lite1 efficientnet_lite2
    """
    if whole and (k is not None or around is not None):
        raise click.UsageError("--all goes without -k and --around")
    if k is not None and around is None:
        raise click.UsageError("-k is for --around")
    with open_catalog(db) as catalog:
        with watched() as progress:
            rows = catalog.consensus_tree(
                models or None,
                around=around,
                k=k,
                method=method,
                distance=distance,
                taxonomy=taxonomy,
                progress=progress,
            )
        alone = 0
        if around is None and not whole and _is_drawn(written):
            (root,) = rows.filter("parent IS NULL").project("node").fetchall()[0]
            every = rows.filter(f"parent = {root:d}").shape[0]
            rows = rows.filter(f"parent IS NULL OR (parent = {root:d} AND size > 1)")
            alone = every - rows.shape[0] + 1
        show(catalog, _called(rows, tips), written, "trees.dendrogram")
        tell(f"majority-rule consensus; {method} linkage of {distance} distances")
        if alone:
            tell(
                f"{alone:,} classes that no majority joins to others are not drawn; --all draws every class"
            )


@click.command()
@click.argument("model")
@click.option("-k", type=int, help="How many clusters.  [default: the best silhouette]")
@click.option("--height", type=float, help="Cut at this height of the tree.")
@by_graph
@seed_option
@clustered
@names_option
@reading
def cluster(
    model: str,
    k: int | None,
    height: float | None,
    by: Literal["tree", "graph"] | None,
    neighbors: int | None,
    resolution: float | None,
    seed: int,
    method: Linkage,
    distance: TreeDistance,
    taxonomy: str,
    db: Path | None,
    **written: Any,
) -> None:
    """Cut a model's tree into clusters, each named by the taxon that fits it best.

    Into -k clusters, at a --height, or where the mean silhouette is largest. A table has a line a cluster,
    with the classes that are not of the taxon marked; other formats a row a class.

    --by graph, and unasked for a head of more than 30,000 classes, or than memory bears, the clusters are
    communities of the graph of mutual nearest neighbours, found by the Leiden algorithm: the largest first,
    of which a table has 100. A note says how many classes have no mutual neighbour, and the modularity.

    \b
    Examples:
      classrel cluster efficientnet_lite0 -k 40
      classrel cluster efficientnet_lite0 --height 1.5 --format csv
      classrel cluster efficientnet_lite0 --by graph --resolution 5
    """
    if k is not None and height is not None:
        raise click.UsageError("-k and --height; give one of them, or neither")
    if by == "tree" and _typed("seed"):
        raise click.UsageError("--seed is for --by graph")
    with open_catalog(db) as catalog:
        with watched() as progress:
            rows = catalog.cluster(
                model,
                k,
                height=height,
                method=method,
                distance=distance,
                taxonomy=taxonomy,
                by=by,
                neighbors=neighbors,
                resolution=resolution,
                seed=seed,
                progress=progress,
            )
        ((found, count),) = rows.aggregate("any_value(method), max(cluster)").fetchall()
        by_tree = found == method
        drawn = rows
        if not by_tree and _is_drawn(written):
            drawn = rows.filter(f"cluster <= {_MOST_DRAWN:d}")
        show(catalog, drawn, written, "tree_tables.clusters")
        if drawn is not rows and count > _MOST_DRAWN:
            tell(f"the {_MOST_DRAWN} largest of {count:,} clusters; --format csv has all of them")
        how = f"{method} linkage of {distance} distances" if by_tree else "Leiden communities"
        tell(f"{how}, named by {taxonomy}")
