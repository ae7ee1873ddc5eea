"""One answer of a command, written as it was asked for: what the command line and the shell share."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from classrel_db.records import TREE_FORMATS
from classrel_db.render.formats import emit, format_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyRelation

    from classrel_db.records import Answer


def emit_answer(answer: Answer, spared: Path, tell: Callable[[str], None]) -> None:
    """Write the answer to its file or to standard output; ``tell`` gets what is to be known of it.

    ``spared`` is the database file, which no output may replace. Raises ArgumentError.
    """
    is_tree = answer.drawing == "trees.dendrogram"
    if is_tree:
        from classrel_db.render.tree_files import TREE_ENDINGS, write_tree

        chosen = format_of(answer.format, answer.output, TREE_ENDINGS)
    else:
        chosen = format_of(answer.format, answer.output)
    rows = answer.rows
    cut = chosen == "table" and answer.output is None and is_cut(answer)
    if cut and answer.most is not None:
        rows = rows.limit(answer.most)
    draw = drawer(answer.drawing)
    if chosen in TREE_FORMATS:

        def draw(rows: DuckDBPyRelation, file: TextIO) -> None:
            write_tree(rows, chosen, file)

    emit(rows, chosen, answer.output, draw, spared=spared)
    if cut:
        tell(f"the first {answer.most:,} rows; --format csv or --output FILE writes all of them")
    if answer.output is not None:
        tell(f"wrote {answer.output}")


def is_cut(answer: Answer) -> bool:
    """Whether a table of this answer leaves rows out."""
    return answer.most is not None and answer.rows.limit(answer.most + 1).shape[0] > answer.most


def drawer(drawing: str) -> Callable[[DuckDBPyRelation, TextIO], None]:
    """The function of ``render.tables``, or ``module.function`` of ``render``, imported when it draws."""

    def draw(rows: DuckDBPyRelation, file: TextIO) -> None:
        module, _, name = drawing.rpartition(".")
        getattr(import_module(f"classrel_db.render.{module or 'tables'}"), name)(rows, file)

    return draw
