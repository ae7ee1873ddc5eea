"""Commands that draw: figures into files, and what reads well there into the terminal."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from classrel_db.cli.ask import tell_of_support
from classrel_db.cli.desk import FILE, database, open_catalog, show, tell, watched
from classrel_db.cli.trees import clustered, names_option, permutations_option, seed_option
from classrel_db.records import CLADE_RESAMPLES, ORDERS, PROJECTIONS, RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog import Catalog
    from classrel_db.figures import Drawn

_output = click.option("--output", "-o", type=FILE, help="The picture: a .png, .svg or .pdf file.")
_data = click.option(
    "--data",
    type=FILE,
    help="Write the numbers behind the picture: .csv, .json, .jsonl, .md, .parquet, .arrow or .txt.",
)
_width = click.option(
    "--width",
    metavar="WIDTH",
    help="column (89 mm), page (183 mm), or millimetres.  [default: what suits the figure]",
)
_dpi = click.option(
    "--dpi",
    type=click.IntRange(10, 2_400),
    default=300,
    show_default=True,
    help="Resolution of a .png.",
)
_clusters = click.option(
    "--clusters", type=int, metavar="K", help="Colour and name so many clusters; 0 for none."
)


def _drawing(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that draws."""
    return database(_output(_data(_width(_dpi(command)))))


@click.group()
def plot() -> None:
    """Draw figures for papers and slides.

    Into a .png, .svg or .pdf file, of the width of a journal's column or page, in colours chosen for any
    colour vision, with the fonts in it; --data writes the numbers behind it. Without --output, neighbors,
    histogram and heatmap draw in the terminal.

    \b
    Examples:
      classrel plot neighbors 'Dungeness crab' -m efficientnet_lite0 -o crab.svg
      classrel plot dendrogram efficientnet_lite0 --circular --clusters 24 -o tree.svg
      classrel plot heatmap efficientnet_lite0
    """


@plot.command()
@click.argument("query", metavar="CLASS")
@click.option("--model", "-m", multiple=True, help="This model; may be repeated.  [default: all]")
@click.option("-k", type=int, help="How many neighbours.  [default: 25, or all there are]")
@click.option("--self", "include_self", is_flag=True, help="The class itself first, at 1.")
@click.option("--support", is_flag=True, help="Colour the bars by their bootstrap support.")
@click.option(
    "--resamples", type=int, default=RESAMPLES, show_default=True, help="Resamples for --support."
)
@seed_option
@_drawing
def neighbors(
    query: str,
    model: tuple[str, ...],
    k: int | None,
    include_self: bool,
    support: bool,
    resamples: int,
    seed: int,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw the classes nearest to CLASS as bars.

    \b
    Examples:
      classrel plot neighbors 'Dungeness crab' -m efficientnet_lite0 --self -o crab.svg
      classrel plot neighbors 'Dungeness crab' -k 12 --support -o crab.pdf
    """
    asked: dict[str, Any] = {"models": model or None, "k": k, "include_self": include_self}
    asked |= {"support": support, "resamples": resamples, "seed": seed}
    with open_catalog(db) as catalog:
        if _in_terminal(drawn):
            with watched() as progress:
                rows = catalog.similar(query, **asked, progress=progress)
            if support:
                tell_of_support(resamples, seed, len(catalog.normalizations(model or None)))
            _show(catalog, rows, "neighbor_tables")
            return
        _draw(
            catalog, drawn, lambda figures, rest: figures.neighbors(catalog, query, **asked, **rest)
        )


@plot.command()
@click.argument("query", metavar="CLASS")
@click.option("--model", "-m", multiple=True, help="This model; may be repeated.  [default: all]")
@click.option("-k", type=int, default=25, show_default=True, help="How many neighbours.")
@_drawing
def ranks(query: str, model: tuple[str, ...], k: int, db: Path | None, **drawn: Any) -> None:
    """Draw the ranks of the neighbours of CLASS over models.

    The classes with the best mean rank, each with a dot a model and a line at the median.

    \b
    Example: classrel plot ranks 'Dungeness crab' -o ranks.svg
    """
    with open_catalog(db) as catalog:
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.ranks(catalog, query, models=model or None, k=k, **rest),
            tells=False,
        )


@plot.command()
@click.argument("model")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="leaf",
    show_default=True,
    help="leaf: of the tree, which is drawn beside it. class: as the model has them.",
)
@_clusters
@clustered
@names_option
@_drawing
def heatmap(
    model: str,
    order: Any,
    clusters: int | None,
    method: Any,
    distance: Any,
    taxonomy: str,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw the cosines and distances of all classes.

    In the order of the tree's leaves, with the tree and the names of 12 clusters beside it, or in that of the
    classes. The diagonal is white and out of the colours' range, as are the 0.5 % of pairs at either
    end. In the terminal: the cosines, in blocks of neighbouring classes.

    \b
    Examples:
      classrel plot heatmap efficientnet_lite0 -o heat.png
      classrel plot heatmap efficientnet_lite0 --order class -o heat.png
      classrel plot heatmap efficientnet_lite0
    """
    with open_catalog(db) as catalog:
        if _in_terminal(drawn):
            from classrel_db.catalog.matrices import matrix_rows
            from classrel_db.render.drawings import NAMES

            room = shutil.get_terminal_size((80, 40))
            with watched():
                matrix = catalog.similarity_matrix(
                    model,
                    order=order,
                    most=max(8, min(room.columns - NAMES - 2, 2 * (room.lines - 7))),
                    method=method,
                    distance=distance,
                )
                rows = matrix_rows(matrix)
            _show(catalog, rows, "drawings.heatmap")
            return
        given = {"order": order, "clusters": clusters, "method": method, "distance": distance}
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.heatmap(
                catalog, model, **given, taxonomy=taxonomy, **rest
            ),
            tells=False,
        )


@plot.command()
@click.argument("model")
@click.option("--circular", is_flag=True, help="Round: root in the middle, a ring, names outside.")
@_clusters
@click.option("--around", metavar="CLASS", help="Only the clade around this class.")
@click.option(
    "-k", type=int, help="With --around, classes of the clade at most, else clades to draw."
)
@click.option(
    "--orientation",
    type=click.Choice(("left", "right", "top", "bottom")),
    default="left",
    show_default=True,
    help="Where the root is.",
)
@click.option("--support", is_flag=True, help="Write the bootstrap support at each fork, in %.")
@click.option(
    "--resamples",
    type=int,
    default=CLADE_RESAMPLES,
    show_default=True,
    help="Resamples for --support.",
)
@seed_option
@clustered
@names_option
@_drawing
def dendrogram(
    model: str,
    circular: bool,
    clusters: int | None,
    around: str | None,
    k: int | None,
    orientation: Any,
    support: bool,
    resamples: int,
    seed: int,
    method: Any,
    distance: Any,
    taxonomy: str,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw the tree of a model's classes, round or upright.

    Labels are as large as they can be without touching: those of 1,000 classes are for zooming into a .svg
    or .pdf. --clusters is 24 by default. `classrel tree` draws in the terminal.

    \b
    Examples:
      classrel plot dendrogram efficientnet_lite0 --circular --clusters 24 -o tree.svg
      classrel plot dendrogram efficientnet_lite0 --around 'Dungeness crab' --support -o crab.svg
      classrel plot dendrogram efficientnet_lite0 -k 60 --clusters 12 --orientation top -o top.pdf
    """
    given = {"circle": circular, "clusters": clusters, "around": around, "k": k}
    given |= {"orientation": orientation, "support": support, "resamples": resamples, "seed": seed}
    given |= {"method": method, "distance": distance, "taxonomy": taxonomy}
    with open_catalog(db) as catalog:
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.dendrogram(catalog, model, **given, **rest),
        )


@plot.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--measure", default="rsa-spearman", show_default=True, metavar="NAME", help="By this measure."
)
@_drawing
def agreement(models: tuple[str, ...], measure: str, db: Path | None, **drawn: Any) -> None:
    """Draw how far every two models agree, as a matrix.

    All models, or those named. What is computed for it is kept, as by `classrel compare --all`.

    \b
    Example: classrel plot agreement -o agreement.svg
    """
    with open_catalog(db) as catalog:
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.agreement(
                catalog, models or None, measure=measure, **rest
            ),
        )


@plot.command()
@click.argument("model_a")
@click.argument("model_b")
@_clusters
@click.option("--around", metavar="CLASS", help="Only the classes of the clade around this one.")
@click.option("-k", type=int, help="Classes of that clade at most.  [default: 25]")
@clustered
@names_option
@_drawing
def tanglegram(
    model_a: str,
    model_b: str,
    clusters: int | None,
    around: str | None,
    k: int | None,
    method: Any,
    distance: Any,
    taxonomy: str,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw the trees of two models face to face, untangled.

    \b
    Examples:
      classrel plot tanglegram efficientnet_lite0 efficientnet_lite2 -o tangle.pdf
      classrel plot tanglegram efficientnet_lite0 efficientnet_lite2 --around crayfish -o tangle.svg
    """
    if k is not None and around is None:
        raise click.UsageError("-k is for --around")
    given = {"clusters": clusters, "around": around, "k": k}
    given |= {"method": method, "distance": distance, "taxonomy": taxonomy}
    with open_catalog(db) as catalog:
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.tanglegram(catalog, model_a, model_b, **given, **rest),
        )


@plot.command(name="map")
@click.argument("model")
@click.option(
    "--by",
    type=click.Choice(PROJECTIONS),
    default="mds",
    show_default=True,
    help="mds keeps distances as far as a plane can; umap keeps who is near to whom (extra `map`).",
)
@_clusters
@seed_option
@clustered
@names_option
@_drawing
def class_map(
    model: str,
    by: Any,
    clusters: int | None,
    seed: int,
    method: Any,
    distance: Any,
    taxonomy: str,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw the classes as points in the plane.

    With the names of 24 clusters. The title says how much of who is near to whom the map keeps.

    \b
    Example: classrel plot map efficientnet_lite0 --by umap -o map.svg
    """
    given = {"by": by, "clusters": clusters, "seed": seed, "method": method, "distance": distance}
    with open_catalog(db) as catalog:
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.class_map(
                catalog, model, **given, taxonomy=taxonomy, **rest
            ),
            tells=False,
        )


@plot.command()
@click.argument("model")
@click.option(
    "--resamples",
    type=int,
    default=CLADE_RESAMPLES,
    show_default=True,
    help="Resamples of the dimensions.",
)
@seed_option
@clustered
@_drawing
def support(
    model: str,
    resamples: int,
    seed: int,
    method: Any,
    distance: Any,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw the bootstrap support of the clades of a tree.

    \b
    Example: classrel plot support efficientnet_lite0 -o support.svg
    """
    given = {"resamples": resamples, "seed": seed, "method": method, "distance": distance}
    with open_catalog(db) as catalog:
        _draw(
            catalog, drawn, lambda figures, rest: figures.support(catalog, model, **given, **rest)
        )


@plot.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL...")
@permutations_option
@seed_option
@clustered
@_drawing
def bk(
    models: tuple[str, ...],
    permutations: int,
    seed: int,
    method: Any,
    distance: Any,
    db: Path | None,
    **drawn: Any,
) -> None:
    """Draw how far trees agree, cut into k clusters.

    The B_k curve: the Fowlkes-Mallows index of every two of the models over k, with the band of 95 % of
    permutations.

    \b
    Example: classrel plot bk efficientnet_lite0 efficientnet_lite2 -o bk.svg
    """
    if len(models) < 2:
        raise click.UsageError("name two models or more")
    given = {"permutations": permutations, "seed": seed, "method": method, "distance": distance}
    with open_catalog(db) as catalog:
        _draw(catalog, drawn, lambda figures, rest: figures.bk(catalog, *models, **given, **rest))


@plot.command()
@click.argument("model")
@seed_option
@_drawing
def histogram(model: str, seed: int, db: Path | None, **drawn: Any) -> None:
    """Draw how the cosines of all pairs are distributed.

    With what chance would give: each row's values in random order.

    \b
    Examples:
      classrel plot histogram efficientnet_lite0
      classrel plot histogram efficientnet_lite0 -o cosines.svg --data cosines.csv
    """
    with open_catalog(db) as catalog:
        if _in_terminal(drawn):
            _show(catalog, catalog.histogram(model, seed=seed), "drawings.histogram")
            return
        _draw(
            catalog,
            drawn,
            lambda figures, rest: figures.histogram(catalog, model, seed=seed, **rest),
            tells=False,
        )


def _in_terminal(drawn: dict[str, Any]) -> bool:
    """Whether no file was asked for."""
    return drawn["output"] is None and drawn["data"] is None


def _show(catalog: Catalog, rows: DuckDBPyRelation, drawing: str) -> None:
    given = click.get_current_context().get_parameter_source
    for name in ("width", "dpi", "clusters"):
        if given(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is for --output")
    show(catalog, rows, {"format": None, "output": None}, drawing)


def _draw(
    catalog: Catalog,
    drawn: dict[str, Any],
    figure: Callable[[Any, dict[str, Any]], Drawn],
    *,
    tells: bool = True,
) -> None:
    """Draw into the files that were asked for; what can't be written is said before it is worked for.

    ``tells`` is whether the figure takes a ``progress``.
    """
    from classrel_db.outputs import require_other, require_room
    from classrel_db.records import Answer
    from classrel_db.render.answers import emit_answer
    from classrel_db.render.formats import format_of

    output, data = drawn["output"], drawn["data"]
    if output is None and data is None:
        name = click.get_current_context().info_name
        raise click.UsageError(
            f"{name} does not draw in the terminal: give --output {name}.svg (or .png, .pdf), or --data "
            "FILE for the numbers"
        )
    from classrel_db import figures
    from classrel_db.figures.style import inches, require_image

    if output is not None:
        require_image(output)
        require_other(output, catalog.path)
        require_room(output)
    if data is not None:
        format_of(None, data)
        require_other(data, catalog.path)
        require_room(data)
    rest: dict[str, Any] = {}
    if drawn["width"] is not None:
        inches(drawn["width"])
        rest["width"] = drawn["width"]
    with watched() as progress:
        made = figure(figures, {**rest, "progress": progress} if tells else rest)
        if output is not None:
            made.save(output, dpi=drawn["dpi"])
            tell(f"wrote {output}")
    if data is not None:
        emit_answer(Answer(made.data, output=data), spared=catalog.path, tell=tell)
