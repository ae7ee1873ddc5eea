"""Commands that hold models against taxonomies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from classrel_db.cli.desk import FILE, database, open_catalog, reading, show, tell, watched
from classrel_db.cli.trees import clustered, permutations_option, seed_option
from classrel_db.records import TAXONOMY_KINDS, Linkage, TaxonomyKind, TreeDistance
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import Path


_MODELS_TOLD = 10  # of how many it is told how many classes are in a new taxonomy


@click.group()
def taxonomy() -> None:
    """Hold models against a taxonomy: WordNet's, which is there, or your own.

    \b
    Examples:
      classrel taxonomy compare efficientnet_lite0 wordnet
      classrel taxonomy surprises efficientnet_lite0 wordnet -k 20
      classrel taxonomy add birds.csv --name birds
      classrel taxonomy match efficientnet_lite0 birds
    """


@taxonomy.command(name="add")
@click.argument("file", type=FILE)
@click.option("--name", "called", required=True, help="What to call it.")
@click.option(
    "--kind",
    type=click.Choice(TAXONOMY_KINDS),
    help="lineage: a table with a column a rank. edges: the columns child and parent. newick.  [default: "
    "told from the file]",
)
@click.option("--replace", is_flag=True, help="Put it in the place of the one of that name.")
@database
def add_taxonomy(
    file: Path, called: str, kind: TaxonomyKind | None, replace: bool, db: Path | None
) -> None:
    """Read a taxonomy from FILE.

    A csv with a column a rank, the highest first (kingdom … species); or with the columns child and parent;
    or Newick. Classes are found in it by their concept, in any case: a species name, a WordNet id. The
    columns synonyms and concept give further names.

    \b
    Examples:
      classrel taxonomy add birds.csv --name birds
      classrel taxonomy add tree.nwk --name molecular
    """
    with open_catalog(db) as catalog:
        found = catalog.add_taxonomy(file, called, kind=kind, replace=replace)
        for note in found.notes:
            tell(f"note: {note}")
        ranks = list(dict.fromkeys(rank for rank in found.ranks if rank))
        levels = f", of the ranks {' > '.join(ranks)}" if found.kind == "lineage" else ""
        tell(f"{called}: {len(found.taxa):,} taxa, read as {found.kind}{levels}")
        models = [model for (model,) in catalog.models().project("model").fetchall()]
        for model in models[:_MODELS_TOLD]:
            matched = catalog.match_taxonomy(model, called)
            every, known = matched.aggregate("count(*), count(taxon)").fetchall()[0]
            tell(f"{model}: {known:,} of {every:,} classes are in it")
            if not known:
                (concept,) = matched.project("concept").limit(1).fetchall()[0]
                taxon = found.names[0][0]
                tell(f"  its concepts are like {quoted(concept)}, the taxa like {quoted(taxon)}")
        if len(models) > _MODELS_TOLD:
            more = len(models) - _MODELS_TOLD
            tell(
                f"… and {more:,} models more: `classrel taxonomy match MODEL {called}` tells of one"
            )


@taxonomy.command(name="list")
@reading
def list_taxonomies(db: Path | None, **written: Any) -> None:
    """Show the taxonomies that there are."""
    with open_catalog(db) as catalog:
        show(catalog, catalog.taxonomies(), written)


@taxonomy.command(name="remove")
@click.argument("against", metavar="TAXONOMY")
@database
def remove_taxonomy(against: str, db: Path | None) -> None:
    """Delete a taxonomy."""
    with open_catalog(db) as catalog:
        catalog.remove_taxonomy(against)
        tell(f"{against}: removed")


@taxonomy.command(name="match")
@click.argument("model")
@click.argument("against", metavar="[TAXONOMY]", default="wordnet")
@click.option("--missing", is_flag=True, help="Only the classes that match no taxon.")
@click.option("--matched", is_flag=True, help="Only those that match one.")
@reading
def match_taxonomy(
    model: str, against: str, missing: bool, matched: bool, db: Path | None, **written: Any
) -> None:
    """Show which class of a model is which taxon, and which match none."""
    if missing and matched:
        raise click.UsageError("--missing and --matched; give one of them")
    with open_catalog(db) as catalog:
        rows = catalog.match_taxonomy(model, against)
        every, known = rows.aggregate("count(*), count(taxon)").fetchall()[0]
        if missing or matched:
            rows = rows.filter("taxon IS NULL" if missing else "taxon IS NOT NULL")
        show(catalog, rows, written, "model_table")
        tell(f"{known:,} of {every:,} classes of {model} are in {against}")


@taxonomy.command(name="compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL... [TAXONOMY]")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="Only this measure; may be repeated.  [default: all]",
)
@click.option("--clades", is_flag=True, help="Instead, each taxon: does the tree keep it together?")
@click.option(
    "--purity", is_flag=True, help="Instead, each rank: are nearest neighbours of the same taxon?"
)
@click.option("-k", type=int, help="Neighbours for --purity.  [default: 10, or all there are]")
@permutations_option
@click.option(
    "--resamples",
    type=int,
    default=1_000,
    show_default=True,
    metavar="N",
    help="Bootstrap resamples of the classes behind each interval.",
)
@seed_option
@clustered
@reading
def compare_taxonomy(
    models: tuple[str, ...],
    measures: tuple[str, ...],
    clades: bool,
    purity: bool,
    k: int | None,
    permutations: int,
    resamples: int,
    seed: int,
    method: Linkage,
    distance: TreeDistance,
    db: Path | None,
    **written: Any,
) -> None:
    """Say how far models relate classes as a taxonomy does.

    By the rank correlation of cosines with path length, Wu-Palmer similarity and the depth of the common
    ancestor, each with interval and p; by triplets; by the taxa that are one clade of the model's tree.
    --clades lists every taxon with the clade that fits it best, --purity the share of neighbours that are of
    the same genus, family … against chance; both for one model. TAXONOMY is wordnet by default. Only the
    classes that are in it count.

    \b
    Examples:
      classrel taxonomy compare efficientnet_lite0 efficientnet_lite2 wordnet
      classrel taxonomy compare efficientnet_lite0 wordnet --clades --output clades.csv
      classrel taxonomy compare efficientnet_lite0 wordnet --purity
    """
    if clades and (purity or measures):
        raise click.UsageError("--clades goes without --purity and --measure")
    if purity and measures:
        raise click.UsageError("--purity goes without --measure")
    if k is not None and not purity:
        raise click.UsageError("-k is for --purity")
    where = click.get_current_context().get_parameter_source
    unused = {"resamples"} | ({"permutations", "seed"} if clades else {"method", "distance"})
    for each in sorted(unused) if clades or purity else ():
        if where(each) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{'clades' if clades else 'purity'} goes without --{each}")
    with open_catalog(db) as catalog:
        named, against = list(models), "wordnet"
        taxonomies = [name for (name,) in catalog.taxonomies().project("taxonomy").fetchall()]
        if len(named) > 1 and (
            named[-1] in taxonomies or named[-1] not in catalog.normalizations()
        ):
            against = named.pop()
        if (clades or purity) and len(named) > 1:
            raise click.UsageError("--clades and --purity take one model")
        with watched() as progress:
            if clades:
                rows = catalog.taxonomy_clades(named[0], against, method=method, distance=distance)
            elif purity:
                rows = catalog.taxonomy_purity(
                    named[0],
                    against,
                    k=10 if k is None else k,
                    permutations=permutations,
                    seed=seed,
                )
            else:
                rows = catalog.compare_taxonomy(
                    named,
                    against,
                    measures=measures or None,
                    method=method,
                    distance=distance,
                    permutations=permutations,
                    resamples=resamples,
                    seed=seed,
                    progress=progress,
                )
        drawing = "clades" if clades else "purity" if purity else "taxonomy"
        show(catalog, rows, written, f"tree_tables.{drawing}", most=100 if clades else None)
        if clades:
            kept, every = rows.aggregate("count(*) FILTER (monophyletic), count(*)").fetchall()[0]
            tell(
                f"{kept:,} of {every:,} taxa are one clade of the {method} tree of {distance} distances"
            )
        else:
            fewer = "" if purity else " (triplets: 99 at most)"
            tell(
                f"seed {seed}; p is one-sided, of {permutations:,} permutations of the classes{fewer}"
            )


@taxonomy.command(name="surprises")
@click.argument("model")
@click.argument("against", metavar="[TAXONOMY]", default="wordnet")
@click.option("-k", type=int, default=20, show_default=True, help="Pairs of each kind.")
@reading
def surprises(model: str, against: str, k: int, db: Path | None, **written: Any) -> None:
    """Show the classes that stand otherwise in a model than in a taxonomy.

    Closer: far apart in the taxonomy, alike in the model. Farther: the other way round. Ranked by the
    difference of the two shares, of the pairs that are less alike in the model, and farther apart in the
    taxonomy.

    \b
    Example:
      classrel taxonomy surprises efficientnet_lite0 wordnet -k 20
    """
    with open_catalog(db) as catalog:
        rows = catalog.taxonomy_surprises(model, against, k=k)
        show(catalog, rows, written, "tree_tables.surprises")
