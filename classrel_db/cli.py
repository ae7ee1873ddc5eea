"""The command line: parse, call the catalog, render. No mathematics, no SQL text.

Nothing heavy is imported before a command runs, so that ``--help`` and completion are instant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from classrel_db.errors import ClassrelError
from classrel_db.records import Normalization, PairPolicy
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog import Catalog

app = typer.Typer(
    name="classrel",
    help="Embedding database for classification heads: which classes does a network see as alike?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: classrel ingest efficientnet_lite0, then classrel similar 'Dungeness crab'",
)

Database = Annotated[
    Path | None,
    typer.Option(
        "--db", envvar="CLASSREL_DB", help="The database file.", show_default="classrel.duckdb"
    ),
]
Formatted = Annotated[
    Literal["table", "json", "csv", "markdown"] | None,
    typer.Option("--format", "-f", help="How to write the rows.", show_default="table"),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to a file: .csv, .json, .md, .parquet or .txt."),
]


def main() -> None:
    """Run the command line; an expected error is one line on standard error and exit code 1."""
    try:
        app()
    except ClassrelError as error:
        _fail(str(error))
    except Exception as error:
        # a relation is read while it is rendered, past the storage layer's own translation
        if type(error).__module__.split(".")[0] not in {"duckdb", "_duckdb"}:
            raise
        _fail(f"the database can't answer: {error}")


def _fail(message: str) -> None:
    from classrel_db.render.text import printable

    print(f"error: {printable(message)}", file=sys.stderr)  # noqa: T201
    raise SystemExit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"classrel {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    db: Database = None,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = db


def _catalog(context: typer.Context, db: Path | None) -> Catalog:
    import classrel_db

    return classrel_db.open(db or context.obj)


def _show(
    rows: DuckDBPyRelation,
    chosen: Literal["table", "json", "csv", "markdown"] | None,
    output: Path | None,
    drawing: str = "plain_table",
) -> None:
    """Write ``rows`` as asked; ``drawing`` names the function of ``render.tables`` for tables."""
    from classrel_db.render import emit, format_of

    def draw(rows: DuckDBPyRelation, file: object) -> None:
        from classrel_db.render import tables

        table: Callable[[DuckDBPyRelation, object], None] = getattr(tables, drawing)
        table(rows, file)

    emit(rows, format_of(chosen, output), output, draw)


def _tell(message: str) -> None:
    """Narration goes to standard error; standard output is for data."""
    typer.echo(message, err=True)


@app.command()
def ingest(
    context: typer.Context,
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC...",
            help="A name (efficientnet_lite0, resnet50, torchvision:resnet50@IMAGENET1K_V1) or a "
            "file (.safetensors, .pth, .pt, .npz).",
        ),
    ],
    db: Database = None,
    name: Annotated[
        str | None,
        typer.Option(help="Store it under this name.", show_default="from the spec"),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The head's tensor in a file, such as fc or fc.weight."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The labels of a file's rows: txt (one a line), csv (columns label, concept), json "
            "(a list, or id2label), or the name imagenet1k.",
        ),
    ] = None,
    normalize: Annotated[
        Normalization,
        typer.Option(help="standardize: z-score each row; center: subtract the mean row."),
    ] = "standardize",
    pairs: Annotated[
        PairPolicy, typer.Option(help="Store every pair's cosine; auto: up to 12,000 classes.")
    ] = "auto",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another head under the same name.")
    ] = False,
) -> None:
    """Read the heads of models and store them with their neighbours and pairs.

    Only the head is read, never the whole checkpoint where its format allows that. Each model is
    stored whole or not at all; the same head again changes nothing.

    Examples: classrel ingest efficientnet_lite0 efficientnet_lite1 ·
    classrel ingest ./mymodel.safetensors --labels species.csv
    """
    from classrel_db.render.progress import ingest_bars, ingest_line

    try:
        with ingest_bars() as progress:
            _catalog(context, db).ingest(
                *specs,
                name=name,
                head=head,
                labels=labels,
                normalize=normalize,
                pairs=pairs,
                replace=replace,
                progress=progress,
                done=lambda answer: _tell(ingest_line(answer)),
            )
    except KeyboardInterrupt:
        _tell("interrupted: the unfinished model was not stored, the finished ones were")
        raise typer.Exit(130) from None


@app.command()
def models(
    context: typer.Context,
    db: Database = None,
    format: Formatted = None,
    output: Output = None,
) -> None:
    """List the stored models."""
    with _catalog(context, db) as catalog:
        _show(catalog.models(), format, output)


@app.command()
def classes(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A stored model.")],
    pattern: Annotated[
        str | None,
        typer.Argument(help="A part of the label in any case, or a whole concept."),
    ] = None,
    db: Database = None,
    format: Formatted = None,
    output: Output = None,
) -> None:
    """List the classes of a model: index, label, concept, bias, and each row's mean, std and norm.

    Example: classrel classes efficientnet_lite0 crab
    """
    with _catalog(context, db) as catalog:
        rows = catalog.classes(model, pattern)
        _show(rows, format, output)
        if not rows.shape[0]:
            _tell(f"no class of {model} has {pattern!r} in its label or as its concept")


@app.command()
def info(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A stored model.")],
    db: Database = None,
    format: Formatted = None,
    output: Output = None,
) -> None:
    """Show where a model came from, what was read of it, and its content hashes."""
    with _catalog(context, db) as catalog:
        _show(catalog.info(model), format, output, "record")


@app.command()
def remove(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A stored model.")],
    db: Database = None,
) -> None:
    """Delete a model from the database, with its pairs, neighbours and index file."""
    _catalog(context, db).remove(model)
    _tell(f"{model}: removed")


@app.command()
def similar(
    context: typer.Context,
    query: Annotated[
        str,
        typer.Argument(
            metavar="CLASS",
            help="A label, a unique part of one, an index or a concept (n01978287); or a sum such as "
            "'king crab + American lobster - crayfish'.",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Ask this model; may be repeated.", show_default="all"),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", help="How many neighbours.", show_default="25, or all there are"),
    ] = None,
    include_self: Annotated[
        bool, typer.Option("--self", help="Show the class itself at rank 0.")
    ] = False,
    db: Database = None,
    format: Formatted = None,
    output: Output = None,
) -> None:
    """Show the classes nearest to a class, in one model with bars or in several by rank.

    Cosine is 1 for the same direction and about 0 for unrelated classes. Euclidean is the distance
    of the normalised rows.

    Examples: classrel similar 'Dungeness crab' -k 25 ·
    classrel similar n01978287 -m efficientnet_lite0 --format csv
    """
    with _catalog(context, db) as catalog:
        rows = catalog.similar(query, models=model or None, k=k, include_self=include_self)
        _show(rows, format, output, "neighbor_tables")


@app.command()
def check(
    context: typer.Context,
    db: Database = None,
    format: Formatted = None,
    output: Output = None,
) -> None:
    """Hold the database against itself and the stored weights; exit code 1 where something is wrong."""
    with _catalog(context, db) as catalog:
        rows = catalog.check()
        _show(rows, format, output, "findings")
        failed = rows.filter("NOT ok").fetchall()
    if failed:
        raise ClassrelError(f"{len(failed)} of the checks failed")


if __name__ == "__main__":
    main()
