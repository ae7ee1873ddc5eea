"""What every command shares: its options, where its database comes from and where its rows go."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classrel_db.records import FORMATS, TREE_FORMATS, Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog import Catalog
    from classrel_db.records import Progress

MOST_DRAWN = 1_000  # rows of a table for people; a file has them all

# not readable: a file that can't be read is our message to give
FILE = click.Path(path_type=Path, readable=False)


class _Place(click.Path):
    """A path, or the address of a place in a store, which stays as it is."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        if isinstance(value, str) and "://" in value:
            return value
        return Path(os.fsdecode(super().convert(value, param, ctx)))


DATABASE = _Place(readable=False)
database = click.option(
    "--db",
    type=DATABASE,
    help="The database file, or the folder or address of a lake.  "
    "[default: $CLASSREL_DB, else classrel.duckdb]",
)
_format = click.option(
    "--format", "-f", type=click.Choice(FORMATS), help="How to write the rows.  [default: table]"
)
_output = click.option(
    "--output",
    "-o",
    type=FILE,
    help="Write to a file: .csv, .json, .jsonl, .md, .parquet, .arrow or .txt.",
)


_tree_format = click.option(
    "--format",
    "-f",
    type=click.Choice((*FORMATS, *TREE_FORMATS)),
    help="How to write the tree, or its nodes as rows.  [default: table, which is a drawing]",
)
_tree_output = click.option(
    "--output",
    "-o",
    type=FILE,
    help="Write to a file: .nwk, .nex, .graphml, or as rows .csv, .json, .jsonl, .md, .parquet, .arrow; "
    ".txt is the drawing.",
)


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that answers with rows."""
    return database(_format(_output(command)))


def reading_tree(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that answers with a tree."""
    return database(_tree_format(_tree_output(command)))


class Desk:
    """Where commands get their database, and where their rows and words go: here, a terminal.

    The shell runs the same commands with a desk of its own.
    """

    def __init__(self, db: Path | str | None, queries: Path | None = None) -> None:
        self._db = db
        self._queries = queries

    def catalog(self, db: Path | str | None) -> AbstractContextManager[Catalog]:
        """The database that a command works on: ``db`` if it names one."""
        import classrel_db

        return classrel_db.open(db or self._db, queries=self._queries)

    def show(self, catalog: Catalog, answer: Answer) -> None:
        """Write the rows of an answer as it was asked for."""
        from classrel_db.render.answers import emit_answer

        emit_answer(answer, spared=catalog.path, tell=self.tell)

    def draws(self, format: str | None, output: Path | None) -> bool:
        """Whether an answer that was asked for so is a table or a drawing."""
        return format in {None, "table"} and (output is None or output.suffix == ".txt")

    def tell(self, message: str) -> None:
        """Narration goes to standard error; standard output is for data."""
        click.echo(message, err=True)


def desk_now() -> Desk:
    desk: Desk = click.get_current_context().find_root().obj
    return desk


def open_catalog(db: Path | str | None) -> AbstractContextManager[Catalog]:
    return desk_now().catalog(db)


def tell(message: str) -> None:
    desk_now().tell(message)


def show(
    catalog: Catalog,
    rows: DuckDBPyRelation,
    written: dict[str, Any],
    drawing: str = "plain_table",
    most: int | None = None,
) -> None:
    """Answer with ``rows``; ``drawing`` names the function of ``render.tables`` for tables.

    A table shows at most ``most`` of them.
    """
    desk_now().show(catalog, Answer(rows, drawing, written["format"], written["output"], most))


@contextmanager
def watched() -> Iterator[Progress]:
    """Progress on the terminal, of what takes over a second; warnings are told at the end."""
    from classrel_db.render.progress import answer_display

    with noted(), answer_display() as progress:
        yield progress


@contextmanager
def noted() -> Iterator[None]:
    """Warnings are told at the end, also where that is an error."""
    import warnings

    from classrel_db.errors import ClassrelWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ClassrelWarning)
        try:
            yield
        finally:
            for each in caught:
                if issubclass(each.category, ClassrelWarning):
                    tell(f"note: {each.message}")
