"""The command line: parse, call the catalog, render. No mathematics, no SQL text.

Nothing heavy is imported before a command runs, so that ``--help`` and completion are instant.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classrel_db.errors import ArgumentError, ClassrelError
from classrel_db.records import (
    FORMATS,
    INTERRUPTED,
    NORMALIZATIONS,
    PAIR_POLICIES,
    Answer,
    Normalization,
    PairPolicy,
)
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog import Catalog

_MOST_DRAWN = 1_000  # rows of a table for people; a file has them all

# not readable: a file that can't be read is our message to give
_FILE = click.Path(path_type=Path, readable=False)
_database = click.option(
    "--db", type=_FILE, help="The database file.  [default: $CLASSREL_DB, else classrel.duckdb]"
)
_format = click.option(
    "--format", "-f", type=click.Choice(FORMATS), help="How to write the rows.  [default: table]"
)
_output = click.option(
    "--output",
    "-o",
    type=_FILE,
    help="Write to a file: .csv, .json, .jsonl, .md, .parquet, .arrow or .txt.",
)


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that answers with rows."""
    return _database(_format(_output(command)))


def main() -> None:
    """Run the command line; an expected error is one line on standard error and exit code 1."""
    from classrel_db.storage.interrupt import interruptible, is_interruption

    try:
        with interruptible():
            code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except ClassrelError as error:
        code = _failed(str(error))
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except OSError as error:
        # a broken pipe is a reader who has had enough
        code = 1 if isinstance(error, BrokenPipeError) else _failed(f"can't go on: {error}")
        if sys.stdout is not None:  # or Python would complain when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # a relation is read while it is rendered, past the storage layer's own translation
        if is_interruption(error):
            code = INTERRUPTED
        elif type(error).__module__.split(".")[0] in {"duckdb", "_duckdb"}:
            # what a macro says of its arguments is meant for the user as it is
            code = _failed(str(error).strip().removeprefix("Invalid Input Error: "))
        else:
            raise
    sys.exit(code)


def _failed(message: str) -> int:
    from classrel_db.render.text import printable_lines

    click.echo(f"error: {printable_lines(message)}", err=True)
    return 1


class Desk:
    """Where commands get their database, and where their rows and words go: here, a terminal.

    The shell runs the same commands with a desk of its own.
    """

    def __init__(self, db: Path | None, queries: Path | None = None) -> None:
        self._db = db
        self._queries = queries

    def catalog(self, db: Path | None) -> AbstractContextManager[Catalog]:
        """The database that a command works on: ``db`` if it names one."""
        import classrel_db

        return classrel_db.open(db or self._db, queries=self._queries)

    def show(self, catalog: Catalog, answer: Answer) -> None:
        """Write the rows of an answer as it was asked for."""
        from classrel_db.render.answers import emit_answer

        emit_answer(answer, spared=catalog.path, tell=self.tell)

    def tell(self, message: str) -> None:
        """Narration goes to standard error; standard output is for data."""
        click.echo(message, err=True)


def _desk() -> Desk:
    desk: Desk = click.get_current_context().find_root().obj
    return desk


def _catalog(db: Path | None) -> AbstractContextManager[Catalog]:
    return _desk().catalog(db)


def _tell(message: str) -> None:
    _desk().tell(message)


def _show(
    catalog: Catalog,
    rows: DuckDBPyRelation,
    written: dict[str, Any],
    drawing: str = "plain_table",
    most: int | None = None,
) -> None:
    """Answer with ``rows``; ``drawing`` names the function of ``render.tables`` for tables.

    A table shows at most ``most`` of them.
    """
    _desk().show(catalog, Answer(rows, drawing, written["format"], written["output"], most))


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: classrel ingest efficientnet_lite0, then classrel similar 'Dungeness crab'",
)
@click.option("--db", type=_FILE, envvar="CLASSREL_DB", show_envvar=True, help="The database file.")
@click.option(
    "--queries",
    type=_FILE,
    envvar="CLASSREL_QUERIES",
    show_envvar=True,
    help="A folder of named queries of your own, beside those of `classrel query`.",
)
@click.version_option(__version__, prog_name="classrel", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context, db: Path | None, queries: Path | None) -> None:
    """Embedding database for classification heads: which classes does a network see as alike?"""
    if context.obj is None:
        context.obj = Desk(db, queries)


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
        with _catalog(db) as catalog, ingest_display() as display:
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
    with _catalog(db) as catalog:
        catalog.remove(model)
    _tell(f"{model}: removed")


@app.command()
@click.argument("query", metavar="CLASS")
@click.option(
    "--model", "-m", multiple=True, help="Ask this model; may be repeated.  [default: all]"
)
@click.option("-k", type=int, help="How many neighbours.  [default: 25, or all there are]")
@click.option("--self", "include_self", is_flag=True, help="Show the class itself too, at rank 0.")
@click.option(
    "--where",
    metavar="CONDITION",
    help="Only classes that meet this SQL condition over label, concept, class_idx, bias, mean, std and "
    "norm may answer; k of them, where there are so many.",
)
@_reading
def similar(
    query: str,
    model: tuple[str, ...],
    k: int | None,
    include_self: bool,
    where: str | None,
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
      classrel similar 'Dungeness crab' -k 5 --where "label ILIKE '%dog%'"
    """
    with _catalog(db) as catalog:
        rows = catalog.similar(
            query, models=model or None, k=k, include_self=include_self, where=where
        )
        ways = catalog.normalizations(model or None)
        if len(set(ways.values())) > 1:
            listed = ", ".join(f"{name} {way}" for name, way in ways.items())
            _tell(f"note: normalised in different ways ({listed}): compare ranks, not numbers")
        _show(catalog, rows, written, "neighbor_tables")


@app.command()
@click.argument("statement", required=False)
@click.option("--file", "file", type=_FILE, help="Read the statement from a file.")
@click.option(
    "--param",
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Bind a value to $NAME in the statement; may be repeated.",
)
@click.option("--write", is_flag=True, help="Let the statement change the database.")
@_reading
def sql(
    statement: str | None,
    file: Path | None,
    parameters: tuple[str, ...],
    write: bool,
    db: Path | None,
    **written: Any,
) -> None:
    """Run one SQL statement: DuckDB's SQL, over the tables, views and macros of the database.

    STATEMENT may also come from --file or standard input (-). The database is only read, unless
    --write. Tables: models, classes, weights, pairs, neighbors. Views, with names instead of numbers:
    pairwise, nearest, class_weights. Macros: what `classrel query` lists.

    \b
    Examples:
      classrel sql "FROM nearest WHERE class = 'Dungeness crab' AND rank <= 3"
      classrel sql 'FROM classes WHERE label = $label' --param label=tench --format json
    """
    text = _statement(statement, file)
    given = dict(_assignment(each, "--param") for each in parameters)
    with _catalog(db) as catalog:
        rows = catalog.sql(text, given or None, write=write)
        _show(catalog, rows, written, most=_MOST_DRAWN)


@app.command()
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@click.option("--show", is_flag=True, help="Show what the query does, its parameters and its SQL.")
@_reading
def query(
    name: str | None, arguments: tuple[str, ...], show: bool, db: Path | None, **written: Any
) -> None:
    """Ask a named query; without NAME, list them.

    An ARGUMENT is NAME=VALUE, or a value alone for the parameters in their order. A list is given as
    a,b. The same queries are macros in the database: FROM NAME(...) in any SQL.

    \b
    Examples:
      classrel query
      classrel query contested_pairs k=20 --format markdown
      classrel query neighbors efficientnet_lite0 'Dungeness crab' k=5
      classrel query rank_shift --show
    """
    with _catalog(db) as catalog:
        if name is None:
            _show(catalog, catalog.queries(), written)
        elif show:
            from classrel_db.catalog.questions import named

            click.echo(named(catalog.named_queries, name).text, nl=False)
        else:
            split = [_argument(each) for each in arguments]
            by_name = [(key, value) for key, value in split if key is not None]
            twice = next(
                (key for key, _ in by_name if [k for k, _ in by_name].count(key) > 1), None
            )
            if twice is not None:
                raise click.UsageError(f"{twice} is given twice")
            positional = [value for key, value in split if key is None]
            rows = catalog.query(name, *positional, **dict(by_name))
            _show(catalog, rows, written, most=_MOST_DRAWN)


@app.command()
@click.option(
    "--command",
    "-c",
    "commands",
    multiple=True,
    help="Run this command or SQL and leave; may be repeated.",
)
@_database
@click.pass_context
def shell(context: click.Context, commands: tuple[str, ...], db: Path | None) -> None:
    """Ask one question after another: every command of classrel, and SQL.

    Tab completes commands, models, class labels, tables and columns; \\help says what there is.
    Commands from standard input run as a script, up to the first error.

    \b
    Examples:
      classrel shell
      classrel shell -c "similar tench -k 3" -c "FROM model_summary();"
      classrel shell < questions.txt
    """
    from classrel_db.shell import run

    desk = _desk()
    with desk.catalog(db) as catalog:
        code = run(app, catalog, commands)
    context.exit(code)


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


def _statement(argument: str | None, file: Path | None) -> str:
    """The SQL that was given in one of three ways."""
    if argument is not None and argument != "-" and file is not None:
        raise click.UsageError("a statement and --file; give one of them")
    if file is not None:
        try:
            return file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"can't read {file}: {error}") from error
    if argument is None and sys.stdin.isatty():
        raise click.UsageError(
            'no statement; give one, as in classrel sql "FROM models", or --file, or pipe one in'
        )
    return sys.stdin.read() if argument in {None, "-"} else str(argument)


def _assignment(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"{option} is NAME=VALUE, not {text!r}")
    return name, value


def _argument(text: str) -> tuple[str | None, str]:
    """A query's argument: NAME=VALUE, or a value alone."""
    name, equals, value = text.partition("=")
    return (name, value) if equals and name.isidentifier() else (None, text)


if __name__ == "__main__":
    main()
