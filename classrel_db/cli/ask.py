"""Commands that ask: similar classes, named queries, SQL, the shell."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import click

from classrel_db.cli.desk import (
    FILE,
    MOST_DRAWN,
    database,
    desk_now,
    open_catalog,
    reading,
    show,
    tell,
    watched,
)
from classrel_db.errors import ArgumentError
from classrel_db.records import RESAMPLES

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
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
@click.option(
    "--support",
    is_flag=True,
    help="Tell robust neighbours from flukes: in what share of bootstrap resamples of the dimensions, "
    "and by how many normalisations, each is among the k nearest.",
)
@click.option(
    "--resamples", type=int, help=f"How many resamples for --support.  [default: {RESAMPLES}]"
)
@click.option("--seed", type=int, help="What --support draws them with.  [default: 0]")
@reading
def similar(
    query: str,
    model: tuple[str, ...],
    k: int | None,
    include_self: bool,
    where: str | None,
    support: bool,
    resamples: int | None,
    seed: int | None,
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
      classrel similar 'Dungeness crab' -k 5 --support
    """
    if not support and (resamples is not None or seed is not None):
        raise click.UsageError("--resamples and --seed are for --support; add it")
    drawn = RESAMPLES if resamples is None else resamples
    with open_catalog(db) as catalog:
        with watched() if support else nullcontext() as progress:
            rows = catalog.similar(
                query,
                models=model or None,
                k=k,
                include_self=include_self,
                where=where,
                support=support,
                resamples=drawn,
                seed=seed or 0,
                progress=progress,
            )
        ways = catalog.normalizations(model or None)
        if support:
            tell_of_support(drawn, seed or 0, len(ways))
        if len(set(ways.values())) > 1:
            listed = ", ".join(f"{name} {way}" for name, way in ways.items())
            tell(f"note: normalised in different ways ({listed}): compare ranks, not numbers")
        show(catalog, rows, written, "neighbor_tables")


@click.command()
@click.argument("query", metavar="CLASS")
@click.option(
    "--model", "-m", multiple=True, help="Ask this model; may be repeated.  [default: all]"
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="MODEL",
    help="Leave this model out; may be repeated.",
)
@click.option(
    "--weight",
    "weights",
    multiple=True,
    metavar="MODEL=W",
    help="Let this model count W, a number from 0 on; may be repeated.  [default: 1 each]",
)
@click.option("-k", type=int, default=25, show_default=True, help="How many neighbours, at most.")
@click.option(
    "--least",
    type=int,
    default=1,
    show_default=True,
    help="Only classes that at least so many models know.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Only classes that meet this SQL condition over label, concept, class_idx, bias, mean, std and "
    "norm may answer.",
)
@reading
def consensus(
    query: str,
    model: tuple[str, ...],
    exclude: tuple[str, ...],
    weights: tuple[str, ...],
    k: int,
    least: int,
    where: str | None,
    db: Path | None,
    **written: Any,
) -> None:
    """Show the classes nearest to CLASS in all models together: one ranking, with its spread.

    The cosine is the Fisher mean over the n models that know both classes: tanh of the mean of
    z = atanh(cosine). sd is the standard deviation of z over the models, low and high are the extremes
    of the cosine. Models must be normalised alike. CLASS is as in `similar`, but no sum.

    \b
    Examples:
      classrel consensus 'Dungeness crab' -k 10
      classrel consensus n01978287 --exclude efficientnet_lite1 --least 2
      classrel consensus tench --weight efficientnet_lite2=2 --format csv
    """
    given = [_weight(each) for each in weights]
    names = [name for name, _ in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.UsageError(f"--weight of {twice} is given twice")
    with open_catalog(db) as catalog:
        rows = catalog.consensus(
            query,
            models=model or None,
            exclude=exclude or None,
            weights=dict(given) or None,
            k=k,
            least=least,
            where=where,
        )
        show(catalog, rows, written, "consensus_table", most=MOST_DRAWN)


@click.command()
@click.argument("statement", required=False)
@click.option("--file", "file", type=FILE, help="Read the statement from a file.")
@click.option(
    "--param",
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Bind a value to $NAME in the statement; may be repeated.",
)
@click.option("--write", is_flag=True, help="Let the statement change the database.")
@reading
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
    with open_catalog(db) as catalog:
        rows = catalog.sql(text, given or None, write=write)
        show(catalog, rows, written, most=MOST_DRAWN)


@click.command()
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@click.option(
    "--show", "whole", is_flag=True, help="Show what the query does, its parameters and its SQL."
)
@reading
def query(
    name: str | None, arguments: tuple[str, ...], whole: bool, db: Path | None, **written: Any
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
    with open_catalog(db) as catalog:
        if name is None:
            show(catalog, catalog.queries(), written)
        elif whole:
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
            show(catalog, rows, written, most=MOST_DRAWN)


@click.command()
@click.option(
    "--command",
    "-c",
    "commands",
    multiple=True,
    help="Run this command or SQL and leave; may be repeated.",
)
@database
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

    desk = desk_now()
    with desk.catalog(db) as catalog:
        code = run(cast("click.Group", context.find_root().command), catalog, commands)
    context.exit(code)


def tell_of_support(resamples: int, seed: int, n_models: int) -> None:
    """How to read the two columns."""
    tell(
        f"support: of {resamples:,} bootstrap resamples of the dimensions (seed {seed}), the share that "
        "keeps the neighbour among the k nearest"
    )
    tell(
        "normalizations: of standardize, center and none, the share that does"
        f"{'; a table of several models leaves it out' if n_models > 1 else ''}"
    )


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


def _weight(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")  # a model's name may hold the sign itself
    try:
        if name and equals:
            return name, float(value)
    except ValueError:
        pass
    raise click.UsageError(f"--weight is MODEL=W with a number W, not {text!r}")


def _argument(text: str) -> tuple[str | None, str]:
    """A query's argument: NAME=VALUE, or a value alone."""
    name, equals, value = text.partition("=")
    return (name, value) if equals and name.isidentifier() else (None, text)
