"""The command that writes heads to files which other programs open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from classrel_db.cli.desk import database, open_catalog, tell, watched
from classrel_db.records import EXPORT_FORMATS, PROJECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from classrel_db.records import ExportFormat, Projection


@click.command()
@click.argument(
    "out", type=click.Path()
)  # as it is given: an ending slash says that it is a folder
@click.option(
    "--to",
    type=click.Choice(EXPORT_FORMATS),
    help="What to write.  [default: by the ending .parquet, .npz or .csv]",
)
@click.option("--model", "-m", multiple=True, help="This model; may be repeated.  [default: all]")
@click.option(
    "--raw",
    is_flag=True,
    help="Rows as the head has them, to within rounding, and not normalised; npz has both.",
)
@click.option(
    "--by",
    type=click.Choice(PROJECTIONS),
    help="For embedding-atlas: how classes are laid out.  [default: mds]",
)
@click.option("--seed", type=int, help="For umap: the same seed gives the same map.  [default: 0]")
@click.option(
    "-k", type=int, help="For embedding-atlas: how many nearest classes of each.  [default: 25]"
)
@click.option(
    "--clusters",
    type=int,
    help="For embedding-atlas and projector: clusters of each model, 0 for none.  "
    "[default: the square root of the number of classes, at most 20]",
)
@click.option(
    "--taxonomy",
    metavar="NAME",
    help="Its taxa name the clusters, and are listed for embedding-atlas.  [default: wordnet]",
)
@database
def export(
    out: str,
    to: ExportFormat | None,
    model: tuple[str, ...],
    raw: bool,
    by: Projection | None,
    seed: int | None,
    k: int | None,
    clusters: int | None,
    taxonomy: str | None,
    db: Path | None,
) -> None:
    """Write heads to a file or folder OUT that other programs open.

    parquet and csv have a row a class, with its weights; npz one head as numpy arrays, which ingest
    reads again. embedding-atlas is the Parquet file for Apple's viewer of that name, with a map, nearest
    classes, clusters and taxa; projector a folder for TensorBoard and the Embedding Projector.

    A folder (LAKE/) or an address (s3://BUCKET/FOLDER) with --to parquet is a lake: all that is stored of
    each model, for any command to read by --db, on any machine. Exported again, it gets what is new and what
    has changed; readers see each model whole or not at all.

    \b
    Examples:
      classrel export heads.parquet
      classrel export lite0.npz -m efficientnet_lite0
      classrel export atlas.parquet --to embedding-atlas --by umap
      classrel export projector --to projector -m efficientnet_lite0 -m efficientnet_lite2
      classrel export lake/ --to parquet
    """
    with open_catalog(db) as catalog:
        with watched() as progress:
            wrote = catalog.export(
                out,
                to,
                models=model or None,
                raw=raw,
                by=by,
                seed=seed,
                k=k,
                clusters=clusters,
                taxonomy=taxonomy,
                progress=progress,
            )
        ways = catalog.normalizations(wrote.models)
    number = len(wrote.models)
    normalised = f"normalised by {' and '.join(dict.fromkeys(ways.values()))}"
    rows = "raw" if raw else f"raw, and {normalised}" if wrote.to == "npz" else normalised
    tell(
        f"wrote {wrote.path}: {wrote.rows:,} classes of {number} model{'s' if number > 1 else ''}, "
        f"rows {rows}"
    )
    for note in wrote.notes:
        tell(note)
    if len(set(ways.values())) > 1 and not raw:
        listed = ", ".join(f"{name} {way}" for name, way in ways.items())
        tell(f"note: normalised in different ways ({listed}): compare ranks, not numbers")
