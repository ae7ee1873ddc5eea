"""The command that writes the explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from classrel_db.cli.desk import FILE, database, open_catalog, tell, watched
from classrel_db.cli.trees import seed_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("output", type=FILE, metavar="OUT.html")
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    help="Only this model; may be repeated.  [default: all]",
)
@click.option(
    "-k",
    type=int,
    default=25,
    show_default=True,
    help="Neighbours of a class that are shown at first, and have support.",
)
@click.option(
    "--resamples",
    type=int,
    metavar="N",
    help="Bootstrap resamples of the dimensions for their support; 0 leaves it out.  [default: 100; 0 for "
    "a head of more than 2,000 classes]",
)
@seed_option
@click.option(
    "--taxonomy",
    default="wordnet",
    show_default=True,
    metavar="NAME",
    help="Name clades by the taxa of this taxonomy.",
)
@click.option("--title", default="classrel", show_default=True, help="What stands above the page.")
@database
def report(
    output: Path,
    models: tuple[str, ...],
    k: int,
    resamples: int | None,
    seed: int,
    taxonomy: str,
    title: str,
    db: Path | None,
) -> None:
    """Write an explorer of the models: one HTML file to look at, click through and send to others.

    It opens in a browser without server and without network: the neighbours of each class with their
    support, side by side for several models; each model's tree and matrix; how far the models agree, and
    the classes on which they don't. A link to it brings back what was looked at; what is shown can be
    saved as csv and svg. Trees that are not stored yet are made, and kept in the database.

    \b
    Examples:
      classrel report report.html
      classrel report crabs.html -m efficientnet_lite0 -m efficientnet_lite2 --title 'Crabs and kin'
      classrel report report.html --resamples 1000 --taxonomy wordnet
    """
    from classrel_db import report as explorer
    from classrel_db.text import megabytes

    with open_catalog(db) as catalog:
        with watched() as progress:
            explorer.write(
                catalog,
                output,
                models or None,
                k=k,
                resamples=resamples,
                seed=seed,
                taxonomy=taxonomy,
                title=title,
                progress=progress,
            )
        # a pipe has no size
        size = f", {megabytes(output.stat().st_size)}" if output.is_file() else ""
        tell(f"wrote {output}{size}; open it in a browser")
