"""The command line: parse, call the catalog, render. No mathematics, no SQL text.

Nothing heavy is imported before a command runs, so that ``--help`` and completion are instant.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classrel_db.errors import ClassrelError
from classrel_db.records import FORMATS, NORMALIZATIONS, PAIR_POLICIES, Normalization, PairPolicy
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog import Catalog

# not readable: a file that can't be read is our message to give
_FILE = click.Path(path_type=Path, readable=False)
_INTERRUPTED = 130  # what a shell reports of a process that Ctrl-C ended

_database = click.option(
    "--db", type=_FILE, help="The database file.  [default: $CLASSREL_DB, else classrel.duckdb]"
)
_format = click.option(
    "--format", "-f", type=click.Choice(FORMATS), help="How to write the rows.  [default: table]"
)
_output = click.option(
    "--output", "-o", type=_FILE, help="Write to a file: .csv, .json, .md, .parquet or .txt."
)


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that answers with rows."""
    return _database(_format(_output(command)))


def main() -> None:
    """Run the command line; an expected error is one line on standard error and exit code 1."""
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except ClassrelError as error:
        code = _failed(str(error))
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = _INTERRUPTED
    except OSError as error:
        # a broken pipe is a reader who has had enough
        code = 1 if isinstance(error, BrokenPipeError) else _failed(f"can't go on: {error}")
        if sys.stdout is not None:  # or Python would complain when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # a relation is read while it is rendered, past the storage layer's own translation
        if str(error) == "Query interrupted":
            code = _INTERRUPTED
        elif type(error).__module__.split(".")[0] in {"duckdb", "_duckdb"}:
            code = _failed(f"the database can't answer: {error}")
        else:
            raise
    sys.exit(code)


def _failed(message: str) -> int:
    from classrel_db.render.text import printable

    _tell(f"error: {printable(message)}")
    return 1


def _tell(message: str) -> None:
    """Narration goes to standard error; standard output is for data."""
    click.echo(message, err=True)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: classrel ingest efficientnet_lite0, then classrel similar 'Dungeness crab'",
)
@click.option("--db", type=_FILE, envvar="CLASSREL_DB", show_envvar=True, help="The database file.")
@click.version_option(__version__, prog_name="classrel", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context, db: Path | None) -> None:
    """Embedding database for classification heads: which classes does a network see as alike?"""
    context.obj = db


def _catalog(db: Path | None) -> Catalog:
    import classrel_db

    return classrel_db.open(db or click.get_current_context().find_root().obj)


def _show(
    catalog: Catalog, rows: DuckDBPyRelation, written: dict[str, Any], drawing: str = "plain_table"
) -> None:
    """Write ``rows`` as asked; ``drawing`` names the function of ``render.tables`` for tables."""
    from classrel_db.render.formats import emit, format_of

    def draw(rows: DuckDBPyRelation, file: TextIO) -> None:
        from classrel_db.render import tables

        getattr(tables, drawing)(rows, file)

    output: Path | None = written["output"]
    emit(rows, format_of(written["format"], output), output, draw, spared=catalog.path)
    if output is not None:
        _tell(f"wrote {output}")


@app.command()
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
@_database
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
        with ingest_display() as display:
            _catalog(db).ingest(
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
        _tell("interrupted: the unfinished model was not stored, the finished ones were")
        raise


@app.command()
@_reading
def models(db: Path | None, **written: Any) -> None:
    """List the stored models."""
    with _catalog(db) as catalog:
        _show(catalog, catalog.models(), written)


@app.command()
@click.argument("model")
@click.argument("pattern", required=False)
@_reading
def classes(model: str, pattern: str | None, db: Path | None, **written: Any) -> None:
    """List the classes of a model, or those with PATTERN in their label or as their concept.

    \b
    Example:
      classrel classes efficientnet_lite0 crab
    """
    with _catalog(db) as catalog:
        rows = catalog.classes(model, pattern)
        _show(catalog, rows, written, "model_table")
        if not rows.shape[0]:
            _tell(f"no class of {model} has {pattern!r} in its label or as its concept")


@app.command()
@click.argument("model")
@_reading
def info(model: str, db: Path | None, **written: Any) -> None:
    """Show where a model came from, what was read of it, and its content hashes."""
    with _catalog(db) as catalog:
        _show(catalog, catalog.info(model), written, "record")


@app.command()
@click.argument("model")
@_database
def remove(model: str, db: Path | None) -> None:
    """Delete a model from the database, with its pairs, neighbours and index file."""
    _catalog(db).remove(model)
    _tell(f"{model}: removed")


@app.command()
@click.argument("query", metavar="CLASS")
@click.option(
    "--model", "-m", multiple=True, help="Ask this model; may be repeated.  [default: all]"
)
@click.option("-k", type=int, help="How many neighbours.  [default: 25, or all there are]")
@click.option("--self", "include_self", is_flag=True, help="Show the class itself too, at rank 0.")
@_reading
def similar(
    query: str,
    model: tuple[str, ...],
    k: int | None,
    include_self: bool,
    db: Path | None,
    **written: Any,
) -> None:
    """Show the classes nearest to CLASS: one model with bars, several by rank.

    CLASS is a label, a unique part of one, an index or a concept (n01978287); or a sum of classes.
    Cosine is 1 for the same direction and about 0 for unrelated classes; Euclidean is the distance
    of the normalised rows.

    \b
    Examples:
      classrel similar 'Dungeness crab' -k 25
      classrel similar n01978287 -m efficientnet_lite0 --format csv
      classrel similar 'king crab + American lobster - crayfish'
    """
    with _catalog(db) as catalog:
        rows = catalog.similar(query, models=model or None, k=k, include_self=include_self)
        ways = catalog.normalizations(model or None)
        if len(set(ways.values())) > 1:
            listed = ", ".join(f"{name} {way}" for name, way in ways.items())
            _tell(f"note: normalised in different ways ({listed}): compare ranks, not numbers")
        _show(catalog, rows, written, "neighbor_tables")


@app.command()
@_reading
def check(db: Path | None, **written: Any) -> None:
    """Hold the database against itself and the stored weights; exit code 1 if something is wrong."""
    with _catalog(db) as catalog:
        rows = catalog.check()
        _show(catalog, rows, written, "findings")
        results = rows.project("ok").fetchall()
    failed = results.count((False,))
    if failed:
        raise ClassrelError(f"{failed} of {len(results)} checks failed")
    _tell(f"all {len(results)} checks passed")


if __name__ == "__main__":
    main()
