"""Tables for people. They fit the terminal; piped, they are as wide as they need to be."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from classrel_db.render.formats import values
from classrel_db.text import megabytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from duckdb import DuckDBPyRelation

_BAR_WIDTH = 20
_SIMILAR_COLUMNS = 7  # of `similar`; with support two more
_ROOM_FOR_LABELS = 8
_LEAST_WIDTH = 60  # on a narrower terminal lines run on: rich would leave whole columns out
_NO_EDGE = 10_000  # characters a line where the output is no terminal: nothing is cut or wrapped
_EIGHTHS = " ▏▎▍▌▋▊▉"


def plain_table(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Any rows, a column each, numbers to the right."""
    _plain(rows.columns, rows.types, values(rows), None, file)


def sized_table(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Models of zoos; columns that end in _bytes are told in megabytes, and none repeats another.

    What a narrow terminal has no room for is what comes last.
    """
    repeated = {"spec", "source", "state"} if "model" in rows.columns else {"source"}
    shown = [name for name in rows.columns if name not in repeated]
    rows = rows.project(", ".join(shown + [name for name in rows.columns if name == "state"]))
    sizes = {number for number, name in enumerate(rows.columns) if name.endswith("_bytes")}
    listed = (
        [
            megabytes(value) if number in sizes and value is not None else value
            for number, value in enumerate(row)
        ]
        for row in values(rows)
    )
    columns = [name.removesuffix("_bytes") for name in rows.columns]
    _plain(columns, rows.types, listed, None, file)


def model_table(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Rows of one model, whose name goes into the title."""
    listed = list(values(rows))
    title = Text(printable(listed[0][0])) if listed else None
    _plain(rows.columns[1:], rows.types[1:], (row[1:] for row in listed), title, file)


def record(fields: Mapping[str, Any], file: TextIO) -> None:
    """One row, a line for each of its values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(printable(name), Text(_shown(value)))
    print_table(table, console_for(file))


def neighbor_tables(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``similar``: bars for one model, a column of ranks each for several."""
    by_model: dict[str, list[list[Any]]] = {}
    for row in values(rows):
        by_model.setdefault(row[0], []).append(row)
    if len(by_model) == 1:
        _one_model(*next(iter(by_model.items())), file)
    else:
        _several_models(by_model, file)


def consensus_table(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``consensus``: a bar to the lowest cosine, to the mean and to the highest."""
    listed = list(values(rows))
    if not listed:
        _plain(rows.columns, rows.types, listed, None, file)
        return
    console = console_for(file)
    title = Text(f"Nearest to {printable(listed[0][0])}: Fisher mean of the cosine over n models")
    longest = max(row[8] for row in listed)

    def drawn(with_models: bool, with_bars: bool, with_labels: bool = True) -> Table:
        table = new_table()
        table.add_column("rank", justify="right", no_wrap=True)
        table.add_column("class", overflow="fold", min_width=_ROOM_FOR_LABELS)
        for name in ("n", "cosine"):
            table.add_column(name, justify="right", no_wrap=True)
        if with_bars:
            table.add_column("", no_wrap=True)
        for name in ("sd of z", "low", "high"):
            table.add_column(name, justify="right", no_wrap=True)
            if with_models and name != "sd of z":
                table.add_column(f"{name} in", overflow="fold", min_width=_ROOM_FOR_LABELS)
        for _, rank, label, _, n, cosine, sd, low, high, low_model, high_model in listed:
            cells: list[str | Text] = [
                str(rank),
                Text(printable(label) if with_labels else ""),
                f"{n:,}",
                f"{cosine:.4f}",
            ]
            if with_bars:
                cells.append(_spread(low, cosine, high, longest, file))
            cells.append("" if sd is None else f"{sd:.4f}")
            for extreme, model in ((low, low_model), (high, high_model)):
                cells.append(f"{extreme:.4f}")
                if with_models:
                    cells.append(Text(printable(model) if with_labels else ""))
            table.add_row(*cells)
        return table

    # a narrow terminal loses the models' names first, then the bars
    for parts in ((True, True), (False, True), (False, False)):
        if least_width(drawn(*parts, with_labels=False), console) <= console.width:
            break
    print_table(drawn(*parts), console, title)


def findings(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``check``."""
    table = new_table()
    for name in ("", "model", "check", "found"):
        table.add_column(name, overflow="fold")
    for model, check, ok, detail in values(rows):
        mark = Text("ok", style="green") if ok else Text("FAILED", style="bold red")
        table.add_row(mark, Text(printable(model)), check, Text(printable(detail)))
    print_table(table, console_for(file))


def _plain(
    columns: Sequence[str],
    types: Sequence[object],
    rows: Iterable[Sequence[Any]],
    title: Text | None,
    file: TextIO,
) -> None:
    console = console_for(file)
    listed = [[_shown(value) for value in row] for row in rows]
    # a name or number broken in two can't be read; a label can
    whole = [_is_number(kind) or number == 0 for number, kind in enumerate(types)]
    needed = [
        _column_width([name, *(row[number] for row in listed)], whole[number])
        for number, name in enumerate(map(printable, columns))
    ]
    shown = len(columns)
    if getattr(file, "scrolls", False) and sum(needed) + 2 * shown > console.width:
        console.width = _NO_EDGE
    while shown > 1 and sum(needed[:shown]) + 2 * shown > console.width:
        shown -= 1
    table = new_table()
    for number, name in enumerate(columns[:shown]):
        right = _is_number(types[number])
        # what does not fit goes on in the next line: a name cut short can't be typed
        table.add_column(
            printable(name),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=whole[number],
        )
    for row in listed:
        table.add_row(*map(Text, row[:shown]))
    print_table(table, console, title)
    if shown < len(columns):
        left_out = (
            f"{len(columns) - shown} of {len(columns)} columns are left out: the terminal is too narrow; "
            "name fewer columns, or use --format csv"
        )
        console.print(Text(left_out, style="dim"))


def _column_width(cells: Sequence[str], whole: bool) -> int:
    """The least characters that a column can do with: its longest cell, where none is to be folded."""
    widest = max(map(cell_len, cells))
    return widest if whole else min(widest, _ROOM_FOR_LABELS)


def _one_model(model: str, rows: Sequence[Sequence[Any]], file: TextIO) -> None:
    console = console_for(file)
    title = Text(f"{printable(rows[0][1])} in {printable(model)}")
    longest = max((row[5] for row in rows if row[2] > 0), default=1.0)
    with_support = len(rows[0]) > _SIMILAR_COLUMNS

    def drawn(bar_width: int, with_distance: bool, with_labels: bool = True) -> Table:
        table = new_table()
        table.add_column("rank", justify="right", no_wrap=True)
        table.add_column("class", overflow="fold", min_width=_ROOM_FOR_LABELS)
        table.add_column("cosine", justify="right", no_wrap=True)
        if bar_width:
            table.add_column("", no_wrap=True)
        if with_distance:
            table.add_column("euclidean", justify="right", no_wrap=True)
        for name in ("support", "normalizations") if with_support else ():
            table.add_column(name, justify="right", no_wrap=True)
        for _, _, rank, neighbor, _, cosine, euclidean, *shares in rows:
            cells: list[str | Text] = [
                str(rank),
                Text(printable(neighbor) if with_labels else ""),
                f"{cosine:.4f}",
            ]
            if bar_width:
                cells.append(bar(cosine, longest, file, bar_width))
            if with_distance:
                cells.append(f"{euclidean:.2f}")
            if with_support:
                cells += [_percent(shares[0]), _of_three(shares[1])]
            table.add_row(*cells)
        return table

    # a narrow terminal loses the bars first, then the distance, which the cosine implies; beside
    # support they are drawn at half their length before that
    widths = (_BAR_WIDTH, _BAR_WIDTH // 2) if with_support else (_BAR_WIDTH,)
    for parts in (*((width, True) for width in widths), (0, True), (0, False)):
        # labels can be folded, numbers can't
        if least_width(drawn(*parts, with_labels=False), console) <= console.width:
            break
    print_table(drawn(*parts), console, title)


def _several_models(by_model: dict[str, list[list[Any]]], file: TextIO) -> None:
    """One line a neighbour, its rank in each model, the best mean rank first.

    As many models stand side by side as the terminal is wide; the rest follow in further tables.
    """
    console = console_for(file)
    k = max(row[2] for rows in by_model.values() for row in rows)
    ranks: dict[str, dict[str, Sequence[Any]]] = {}
    labels: dict[str, str] = {}
    # The concept tells that two models mean the same class; one without an id of its own goes with
    # the id that another model gives to its label.
    ids: dict[str, set[str]] = {}
    for row in (row for rows in by_model.values() for row in rows):
        if row[4] != row[3].casefold():
            ids.setdefault(row[3].casefold(), set()).add(row[4])
    for model, rows in by_model.items():
        for row in rows:
            named = ids.get(row[4], set())
            concept = next(iter(named)) if len(named) == 1 else row[4]
            ranks.setdefault(concept, {})[model] = row
            labels.setdefault(concept, row[3])

    def mean_rank(concept: str) -> float:
        # not among the k nearest counts as the place behind them
        places = [ranks[concept][m][2] if m in ranks[concept] else k + 1 for m in by_model]
        return float(sum(places)) / len(places)

    ordered = sorted(ranks, key=mean_rank)
    first = next(iter(by_model.values()))[0]
    with_support = len(first) > _SIMILAR_COLUMNS
    shown = "rank, cosine and support" if with_support else "rank and cosine"
    heading = f"{printable(first[1])} in {len(by_model)} models: {shown} among the {k} nearest"
    cell_width = 15 if with_support else 9

    def drawn(models: Sequence[str], with_labels: bool = True) -> Table:
        table = new_table()
        table.add_column("class", overflow="fold", min_width=_ROOM_FOR_LABELS)
        table.add_column("in", justify="right", no_wrap=True)
        for model in models:
            table.add_column(
                Text(printable(model)), justify="right", overflow="fold", min_width=cell_width
            )
        for concept in ordered:
            if not any(model in ranks[concept] for model in models):
                continue
            cells = [
                _rank_cell(ranks[concept][model], k)
                if model in ranks[concept]
                else Text("·", style="dim")
                for model in models
            ]
            label = Text(printable(labels[concept]) if with_labels else "")
            table.add_row(label, f"{len(ranks[concept])}/{len(by_model)}", *cells)
        return table

    models = list(by_model)
    while models:
        side_by_side = len(models)
        while (
            side_by_side > 1
            and least_width(drawn(models[:side_by_side], with_labels=False), console)
            > console.width
        ):
            side_by_side -= 1
        now, models = models[:side_by_side], models[side_by_side:]
        part = "" if len(now) == len(by_model) else f" ({', '.join(map(printable, now))})"
        print_table(drawn(now), console, Text(heading + part))


def _rank_cell(row: Sequence[Any], k: int) -> Text:
    # the nearer, the brighter: agreement is seen before it is read
    rank = row[2]
    style = "bold green" if rank <= k / 5 else "green" if rank <= k / 2 else ""
    support = (
        f"  {_percent(row[_SIMILAR_COLUMNS]) or '–':>4}" if len(row) > _SIMILAR_COLUMNS else ""
    )
    return Text.assemble((f"{rank}", style), (f"  {row[5]:.3f}", "dim"), support, no_wrap=True)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _of_three(share: float | None) -> str:
    """The share of the three normalisations as a fraction."""
    return "" if share is None else f"{3 * share:.0f}/3"


def bar(cosine: float, longest: float, file: TextIO, width: int = _BAR_WIDTH) -> Text:
    """A bar from 0 to the largest cosine shown; nothing for a cosine below 0."""
    share = min(1.0, max(0.0, cosine / longest)) if longest > 0 else 0.0
    if "utf" not in (getattr(file, "encoding", None) or "ascii").lower():
        return Text("#" * round(share * width))
    whole, eighths = divmod(round(share * width * 8), 8)
    return Text(("█" * whole + _EIGHTHS[eighths]).rstrip(), style="cyan")


def _spread(low: float, mean: float, high: float, longest: float, file: TextIO) -> Text:
    """A bar from 0 to ``high`` in three shades, which end at ``low``, ``mean`` and ``high``."""
    ends = [
        round(_BAR_WIDTH * min(1.0, max(0.0, cosine / longest))) if longest > 0 else 0
        for cosine in (low, mean, high)
    ]
    utf = "utf" in (getattr(file, "encoding", None) or "ascii").lower()
    starts = [0, *ends]
    drawn = (
        sign * (end - start)
        for sign, start, end in zip("█▓░" if utf else "#=-", starts, ends, strict=False)
    )
    return Text("".join(drawn), style="cyan")


def dicts(rows: DuckDBPyRelation) -> list[dict[str, Any]]:
    """All rows, each by the names of its columns."""
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def new_table(*, header: bool = True) -> Table:
    """An empty table in the style of all."""
    return Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_header=header)


def least_width(table: Table, console: Console) -> int:
    """The characters a line that a table needs, without regard to the terminal's edge."""
    return console.measure(table, options=console.options.update(width=_NO_EDGE)).minimum


def console_for(file: TextIO) -> Console:
    """Where tables are printed: as wide as the terminal, or as wide as need be."""
    console = Console(file=file, highlight=False, emoji=False, markup=False)
    console.width = max(console.width, _LEAST_WIDTH) if console.is_terminal else _NO_EDGE
    return console


def print_table(table: Table, console: Console, title: Text | None = None) -> None:
    """Print a table, below its title."""
    if title is not None:
        title.stylize("bold")
        console.print(title, soft_wrap=console.width == _NO_EDGE)
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
