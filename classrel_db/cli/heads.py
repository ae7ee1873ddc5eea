"""Commands that store heads, and say which are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from classrel_db.cli.desk import database, open_catalog, reading, show, tell
from classrel_db.errors import ClassrelError
from classrel_db.records import NORMALIZATIONS, PAIR_POLICIES, Normalization, PairPolicy

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path())
@click.option("--name", help="Store it under this name.  [default: from SPEC]")
@click.option("--head", metavar="KEY", help="The head's tensor in a file, such as fc or fc.weight.")
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(),
    help="The labels of a file's rows: txt (one a line), csv (columns label and concept), json (a "
    "list or id2label), or the name imagenet1k.",
)
@click.option(
    "--normalize",
    type=click.Choice(NORMALIZATIONS),
    default="standardize",
    show_default=True,
    help="standardize: z-score each row. center: subtract the mean row, then unit length.",
)
@click.option(
    "--pairs",
    type=click.Choice(PAIR_POLICIES),
    default="auto",
    show_default=True,
    help="Store the cosine of every pair; auto: up to 12,000 classes.",
)
@click.option("--replace", is_flag=True, help="Replace another head of the same name.")
@database
def ingest(
    specs: tuple[str, ...],
    name: str | None,
    head: str | None,
    labels: str | None,
    normalize: Normalization,
    pairs: PairPolicy,
    replace: bool,
    db: Path | None,
) -> None:
    """Read the heads of models and store them with their neighbours and pairs.

    SPEC is a name (efficientnet_lite0, resnet50, torchvision:resnet50@IMAGENET1K_V1) or a file
    (.safetensors, .pth, .pt, .npz). Only the head is read, not the whole checkpoint, where the
    format allows that. Each model is stored whole or not at all; the same head again changes
    nothing.

    \b
    Examples:
      classrel ingest efficientnet_lite0 efficientnet_lite1
      classrel ingest ./mymodel.safetensors --labels species.csv
    """
    from classrel_db.render.progress import ingest_display

    try:
        with open_catalog(db) as catalog, ingest_display() as display:
            catalog.ingest(
                *specs,
                name=name,
                head=head,
                labels=labels,
                normalize=normalize,
                pairs=pairs,
                replace=replace,
                progress=display.step,
                done=display.done,
            )
    except KeyboardInterrupt:
        tell("interrupted: the unfinished model was not stored, the finished ones were")
        raise


@click.command()
@reading
def models(db: Path | None, **written: Any) -> None:
    """List the stored models."""
    with open_catalog(db) as catalog:
        show(catalog, catalog.models(), written)


@click.command()
@click.argument("model")
@click.argument("pattern", required=False)
@reading
def classes(model: str, pattern: str | None, db: Path | None, **written: Any) -> None:
    """List the classes of a model, or those with PATTERN in their label or as their concept.

    \b
    Example:
      classrel classes efficientnet_lite0 crab
    """
    with open_catalog(db) as catalog:
        rows = catalog.classes(model, pattern)
        show(catalog, rows, written, "model_table")
        if not rows.shape[0]:
            tell(f"no class of {model} has {pattern!r} in its label or as its concept")


@click.command()
@click.argument("model")
@reading
def info(model: str, db: Path | None, **written: Any) -> None:
    """Show where a model came from, what was read of it, and its content hashes."""
    with open_catalog(db) as catalog:
        show(catalog, catalog.info(model), written, "record")


@click.command()
@click.argument("model")
@database
def remove(model: str, db: Path | None) -> None:
    """Delete a model from the database, with its pairs, neighbours and index file."""
    with open_catalog(db) as catalog:
        catalog.remove(model)
    tell(f"{model}: removed")


@click.command()
@reading
def check(db: Path | None, **written: Any) -> None:
    """Hold the database against itself and the stored weights; exit code 1 if something is wrong."""
    with open_catalog(db) as catalog:
        rows = catalog.check()
        show(catalog, rows, written, "findings")
        results = rows.project("ok").fetchall()
    failed = results.count((False,))
    if failed:
        raise ClassrelError(f"{failed} of {len(results)} checks failed")
    tell(f"all {len(results)} checks passed")
