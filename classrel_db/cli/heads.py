"""Commands that store heads, and say which are stored."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from classrel_db.cli.desk import (
    MOST_DRAWN,
    database,
    noted,
    open_catalog,
    reading,
    show,
    tell,
    watched,
)
from classrel_db.errors import ClassrelError
from classrel_db.records import NORMALIZATIONS, PAIR_POLICIES

if TYPE_CHECKING:
    from pathlib import Path

    from classrel_db.records import Failed, Ingested

_DEFAULTS = {"normalize": "standardize", "pairs": "auto", "jobs": 4}


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
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many heads are read and computed at once.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Let the workers of this Dask scheduler do it, such as tcp://head:8786.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Fetch whole files, keep them where their maker's library does, check the published hash.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Beyond 30,000 classes: hold every class against every other, however long it takes.",
)
@click.option(
    "--memory",
    metavar="AMOUNT",
    help="What a head beyond 30,000 classes may take of memory, such as 4GB.  "
    "[default: half of what is free]",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be read and stored.")
@reading
def ingest(
    specs: tuple[str, ...],
    jobs: int,
    scheduler: str | None,
    dry_run: bool,
    db: Path | None,
    **given: Any,
) -> None:
    """Read the heads of models and store them with their neighbours and pairs.

    SPEC is a name (efficientnet_lite0, resnet50, torchvision:resnet50@IMAGENET1K_V1,
    timm:convnext_base.fb_in22k_ft_in1k), a model of the Hugging Face hub (hf:OWNER/NAME), a file or its
    address (https://…, s3://…), or a pattern of names ('torchvision:resnet*'): `classrel zoo` lists them.
    Of files .safetensors, .pth, .pt, .bin, .npz, .onnx, .tflite, .keras, .h5, .hdf5 and the .index.json of a
    sharded one are read.

    Only the head is read, not the whole checkpoint, where the format and the server allow that. Each
    model is stored whole or not at all; the same head again changes nothing. Of several, one that fails
    does not stop the others, and the same command once more does what is missing.

    \b
    Examples:
      classrel ingest efficientnet_lite0 efficientnet_lite1
      classrel ingest ./mymodel.safetensors --labels species.csv
      classrel ingest 'torchvision:*' --jobs 8 --dry-run
    """
    from classrel_db.render.progress import ingest_display, plan_line
    from classrel_db.text import printable

    written = {option: given.pop(option) for option in ("format", "output")}
    if not dry_run and any(written.values()):
        raise click.UsageError("--format and --output are for the plan of a --dry-run")
    failures: list[Failed] = []
    stored: list[Ingested] = []
    with open_catalog(db) as catalog, noted():
        if dry_run:
            del given["exact"], given["memory"]
            plan = catalog.plan(*specs, **given, look=True, failed=failures.append)
            tell(plan_line(plan))
            show(catalog, plan, written, "sized_table")
            if failures:
                counted = f"{len(failures)} of {plan.shape[0]} models can't be read:"
                raise ClassrelError("\n".join([counted, *_reasons(failures)]))
            return
        try:
            with ingest_display() as display:

                def failed(failure: Failed) -> None:
                    failures.append(failure)
                    display.failed(failure)

                stored = catalog.ingest(
                    *specs,
                    **given,
                    jobs=jobs,
                    scheduler=scheduler,
                    progress=display.step,
                    done=display.done,
                    failed=failed,
                    starting=display.starting,
                )
        # said when the bars are gone, which would take it with them
        except (KeyboardInterrupt, ClassrelError) as error:
            for line in _reasons(failures):
                tell(printable(line))
            if isinstance(error, KeyboardInterrupt):
                tell("interrupted: what was unfinished is not stored, the finished models are")
            raise
    if failures:
        raise ClassrelError(
            _failure_message(
                failures, len(stored), {**given, "jobs": jobs, "scheduler": scheduler, "db": db}
            )
        )


def _failure_message(failures: list[Failed], stored: int, given: dict[str, Any]) -> str:
    """What failed, why, and the command that tries just that again."""
    from classrel_db.sources.address import shown_spec

    counted = f"{len(failures)} of {len(failures) + stored} models were not stored:"
    options = [
        word
        for name, value in given.items()
        for word in ([f"--{name}"] if value is True else [f"--{name}", str(value)])
        if value not in {None, False} and value != _DEFAULTS.get(name)
    ]
    specs = [shown_spec(failure.spec) for failure in failures]
    # what stands on a terminal stands in its log, too
    left_out = specs != [failure.spec for failure in failures]
    note = " (put user, password and query back into the addresses)" if left_out else ""
    again = shlex.join(["classrel", "ingest", *specs, *options])
    return "\n".join([counted, *_reasons(failures), f"to try them again{note}: {again}"])


def _reasons(failures: list[Failed]) -> list[str]:
    return [f"  {failure.model}: {failure.error}" for failure in failures]


@click.command()
@click.argument("pattern", required=False)
@reading
def zoo(pattern: str | None, db: Path | None, **written: Any) -> None:
    """List the models that can be ingested by name: classes, width, bytes of the head and of its file.

    PATTERN is a part of the name, or has * ? [...] in it and fits all of the name. What is cached lies on
    this machine; of anything else `classrel ingest` reads the head alone from where it is published. The
    sizes of timm's files are estimates from their models.

    \b
    Examples:
      classrel zoo efficientnet
      classrel zoo 'torchvision:resnet*' --format csv
    """
    with open_catalog(db) as catalog, watched():
        rows = catalog.zoo(pattern)
        show(catalog, rows, written, "sized_table", MOST_DRAWN)
        if not rows.shape[0]:
            tell(f"no model of a zoo fits {pattern!r}")


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
@click.option("--cite", is_flag=True, help="Show how to cite its weights, in words and as BibTeX.")
@reading
def info(model: str, cite: bool, db: Path | None, **written: Any) -> None:
    """Show where a model came from, what was read of it, and its content hashes.

    \b
    Examples:
      classrel info efficientnet_lite0
      classrel info efficientnet_lite0 --cite
    """
    with open_catalog(db) as catalog:
        if cite:
            show(catalog, catalog.cite(model), written, "provenance.citation")
        else:
            show(catalog, catalog.info(model), written, "provenance.record")


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
