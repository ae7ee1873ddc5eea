"""Tables for people. They fit the terminal; piped, they are as wide as they need to be."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from classrel_db.render.formats import values
from classrel_db.render.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from duckdb import DuckDBPyRelation

_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def plain_table(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Any rows, a column each, numbers to the right."""
    _plain(rows.columns, rows.types, values(rows), None, file)


def model_table(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Rows of one model, whose name goes into the title."""
    listed = list(values(rows))
    title = Text(printable(listed[0][0])) if listed else None
    _plain(rows.columns[1:], rows.types[1:], (row[1:] for row in listed), title, file)


def record(rows: DuckDBPyRelation, file: TextIO) -> None:
    """One row, a line for each of its values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for row in values(rows):
        for name, value in zip(rows.columns, row, strict=True):
            table.add_row(printable(name), Text(_shown(value)))
    _print(table, file)


def neighbor_tables(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``similar``: bars for one model, a column of ranks each for several."""
    by_model: dict[str, list[list[Any]]] = {}
    for row in values(rows):
        by_model.setdefault(row[0], []).append(row)
    if len(by_model) == 1:
        _one_model(*next(iter(by_model.items())), file)
    else:
        _several_models(by_model, file)


def findings(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``check``."""
    table = _table()
    for name in ("", "model", "check", "found"):
        table.add_column(name, overflow="fold")
    for model, check, ok, detail in values(rows):
        mark = Text("ok", style="green") if ok else Text("FAILED", style="bold red")
        table.add_row(mark, Text(printable(model)), check, Text(printable(detail)))
    _print(table, file)


def _plain(
    columns: Sequence[str],
    types: Sequence[object],
    rows: Iterable[Sequence[Any]],
    title: Text | None,
    file: TextIO,
) -> None:
    table = _table(title)
    for number, (name, kind) in enumerate(zip(columns, types, strict=True)):
        right = _is_number(kind)
        # what does not fit goes on in the next line: a name cut short can't be typed
        table.add_column(
            printable(name),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=number == 0,
        )
    for row in rows:
        table.add_row(*[Text(_shown(value)) for value in row])
    _print(table, file)


def _one_model(model: str, rows: Sequence[Sequence[Any]], file: TextIO) -> None:
    table = _table(title=Text(f"{printable(rows[0][1])} in {printable(model)}"))
    table.add_column("rank", justify="right")
    table.add_column("class", overflow="ellipsis", no_wrap=True, min_width=12)
    table.add_column("cosine", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("euclidean", justify="right", no_wrap=True)
    longest = max((row[5] for row in rows if row[2] > 0), default=1.0)
    for _, _, rank, neighbor, _, cosine, euclidean in rows:
        table.add_row(
            str(rank),
            Text(printable(neighbor)),
            f"{cosine:.4f}",
            _bar(cosine, longest, file),
            f"{euclidean:.2f}",
        )
    _print(table, file)


def _several_models(by_model: dict[str, list[list[Any]]], file: TextIO) -> None:
    """One line a neighbour, its rank in each model, the best mean rank first."""
    k = max(len(rows) for rows in by_model.values())
    ranks: dict[str, dict[str, Sequence[Any]]] = {}
    labels: dict[str, str] = {}
    for model, rows in by_model.items():
        for row in rows:
            # the concept tells that two models mean the same class
            ranks.setdefault(row[4], {})[model] = row
            labels.setdefault(row[4], row[3])

    def mean_rank(concept: str) -> float:
        # not among the k nearest counts as the place behind them
        places = [ranks[concept][m][2] if m in ranks[concept] else k + 1 for m in by_model]
        return sum(places) / len(places)

    first = next(iter(by_model.values()))[0]
    title = Text(
        f"{printable(first[1])} in {len(by_model)} models: rank and cosine among the {k} nearest"
    )
    table = _table(title=title)
    table.add_column("class", overflow="ellipsis", no_wrap=True, min_width=12)
    table.add_column("in", justify="right", no_wrap=True)
    for model in by_model:
        table.add_column(printable(model), justify="right", overflow="fold")
    for concept in sorted(ranks, key=mean_rank):
        cells = []
        for model in by_model:
            found = ranks[concept].get(model)
            cells.append(Text("·", style="dim") if found is None else _rank_cell(found, k))
        table.add_row(
            Text(printable(labels[concept])), f"{len(ranks[concept])}/{len(by_model)}", *cells
        )
    _print(table, file)


def _rank_cell(row: Sequence[Any], k: int) -> Text:
    # the nearer, the brighter: agreement is seen before it is read
    rank = row[2]
    style = "bold green" if rank <= k / 5 else "green" if rank <= k / 2 else ""
    return Text.assemble((f"{rank}", style), (f"  {row[5]:.3f}", "dim"))


def _bar(cosine: float, longest: float, file: TextIO) -> Text:
    """A bar from 0 to the largest cosine shown; nothing for a cosine below 0."""
    share = min(1.0, max(0.0, cosine / longest)) if longest > 0 else 0.0
    if "utf" not in (getattr(file, "encoding", None) or "ascii").lower():
        return Text("#" * round(share * _BAR_WIDTH))
    whole, eighths = divmod(round(share * _BAR_WIDTH * 8), 8)
    return Text(("█" * whole + _EIGHTHS[eighths]).rstrip(), style="cyan")


def _table(title: Text | None = None) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )


def _print(table: Table, file: TextIO) -> None:
    console = Console(file=file, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000  # nobody's window: nothing is cut or wrapped
        console.width = console.measure(table).maximum
    console.print(table)


def _is_number(kind: object) -> bool:
    return str(kind) in {"FLOAT", "DOUBLE", "INTEGER", "BIGINT", "HUGEINT", "SMALLINT", "UBIGINT"}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e-3 and value else f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return printable(value)
