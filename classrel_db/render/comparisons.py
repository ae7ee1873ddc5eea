"""Tables of how models agree, and what the measures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from rich.text import Text

from classrel_db.render.tables import bar, console_for, dicts, least_width, new_table, print_table
from classrel_db.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyRelation
    from rich.console import Console
    from rich.table import Table

_MOST_PAIRS = 60  # of models whose intervals a table lists
_CELL = 7  # characters of one number of a matrix, such as -.123, with the gap before it
_NO_EDGE = 10_000  # characters a line, where a table's own width is asked for


def pair_tables(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``compare``: a table for each two models, and how to read the measures."""
    from classrel_db.maths.measures import MEASURES

    console = console_for(file)
    listed = dicts(rows)
    several = len({(row["model_a"], row["model_b"]) for row in listed}) > 1
    for a, b in dict.fromkeys((row["model_a"], row["model_b"]) for row in listed):
        some = [row for row in listed if (row["model_a"], row["model_b"]) == (a, b)]
        shown = ["estimate", "95 % interval", "null", "p", *(["q"] if several else [])]
        # a narrow terminal loses what can be read elsewhere: no number is cut
        for dispensable in ("q", "null", "95 % interval"):
            wide = console.options.update(width=_NO_EDGE)
            if console.measure(_measures(some, shown), options=wide).maximum > console.width:
                shown = [name for name in shown if name != dispensable]
        title = (
            f"{printable(a)} and {printable(b)}: {some[0]['n']:,} shared classes, "
            f"{some[0]['normalization']}"
        )
        print_table(_measures(some, shown), console, Text(title))
    readings = new_table(header=False)
    readings.add_column(no_wrap=True, style="dim")
    readings.add_column(style="dim", overflow="fold")
    for measure in dict.fromkeys(row["measure"] for row in listed):
        readings.add_row(measure, MEASURES[measure].reading)
    print_table(readings, console)
    if any(row["estimate"] is None for row in listed):
        console.print(Text("– is not defined: one head's cosines are all equal", style="dim"))


def _measures(rows: Sequence[dict[str, Any]], shown: Sequence[str]) -> Table:
    """The measures of two models, with these columns."""
    table = new_table()
    table.add_column("measure", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        near = f" (k={row['k']})" if row["k"] is not None else ""
        digits = 6 if row["measure"] == "second-order-cosine" else 4  # all of its values are near 1
        low, high = (_number(row[end], digits) for end in ("low", "high"))
        cells = {
            "estimate": _number(row["estimate"], digits) or "–",
            "95 % interval": f"{low} to {high}" if low else "",
            "null": _number(row["null_value"], digits),
            "p": probability(row["p_value"]),
            "q": probability(row["q_value"]),
        }
        table.add_row(row["measure"] + near, *(cells[name] for name in shown))
    return table


def matrices(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``compare --all``: for each measure the models against each other.

    Alike models stand beside each other. Where intervals or p were asked for, the pairs follow.
    """
    from classrel_db.maths.measures import MEASURES

    console = console_for(file)
    listed = dicts(rows)
    for measure in dict.fromkeys(row["measure"] for row in listed):
        some = [row for row in listed if row["measure"] == measure]
        sign = -1 if MEASURES[measure].at_self == 0 else 1  # of distances, the small ones are alike
        values = {(row["model_a"], row["model_b"]): row["estimate"] for row in some}
        values |= {(b, a): value for (a, b), value in values.items()}
        shared = sorted({row["n"] for row in some})
        classes = f"{shared[0]:,}" + (f" to {shared[-1]:,}" if len(shared) > 1 else "")
        models = _sorted_models(values, sign)
        title = f"{measure} of {len(models)} models, {classes} shared classes"
        for table in _matrix(models, values, sign, console):
            print_table(table, console, Text(title))
            title = f"{measure}, more models"
        nulls = sorted({row["null_value"] for row in some if row["null_value"] is not None})
        ends = [f"{null:.4f}" for null in (nulls[0], nulls[-1])] if nulls else []
        null = f"; null {' to '.join(dict.fromkeys(ends))}" if ends else ""
        console.print(Text(f"{MEASURES[measure].reading}{null}", style="dim"))
        judged = [row for row in some if row["low"] is not None or row["p_value"] is not None]
        if judged and len(judged) <= _MOST_PAIRS:
            print_table(_pairs(judged), console)
        elif judged:
            note = f"{len(judged):,} intervals and p-values: --format csv, or the view agreement, has them"
            console.print(Text(note, style="dim"))
    if not listed:
        console.print(Text("no two models can be compared", style="dim"))


def _pairs(rows: Sequence[dict[str, Any]]) -> Table:
    """The interval and p of every two models."""
    table = new_table()
    for name in ("model", "model"):
        table.add_column(name, overflow="fold", min_width=8)
    for name in ("estimate", "95 % interval", "p", "q"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        interval = "" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"
        table.add_row(
            Text(printable(row["model_a"])),
            Text(printable(row["model_b"])),
            _four(row["estimate"]) or "–",
            interval,
            probability(row["p_value"]),
            probability(row["q_value"]),
        )
    return table


def _sorted_models(values: dict[tuple[str, str], float | None], sign: int) -> list[str]:
    """The models of a symmetric matrix, alike ones beside each other."""
    import numpy as np

    from classrel_db.maths.groups import by_similarity

    models = list(dict.fromkeys(model for pair in values for model in pair))
    place = {model: number for number, model in enumerate(models)}
    distance = np.full((len(models), len(models)), np.nan)
    for (a, b), value in values.items():
        if value is not None:
            distance[place[a], place[b]] = 1 - sign * value
    return [models[number] for number in by_similarity(distance)]


def disagreement(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``disagree``."""
    console = console_for(file)
    listed = dicts(rows)
    table = new_table()
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("class", overflow="fold", min_width=8)
    for name in ("corr.", "p", "q", "jaccard"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("gained", overflow="fold", min_width=10, style="green")
    table.add_column("lost", overflow="fold", min_width=10, style="red")
    for row in listed:
        table.add_row(
            str(row["rank"]),
            Text(printable(row["class"])),
            _four(row["correlation"]) or "–",
            probability(row["p_value"]),
            probability(row["q_value"]),
            f"{row['jaccard']:.2f}",
            Text(printable(", ".join(row["gained"]))),
            Text(printable(", ".join(row["lost"]))),
        )
    first = listed[0]
    title = (
        f"{printable(first['model_a'])} and {printable(first['model_b'])}: of {first['n']:,} shared "
        "classes, those whose relations to the others differ most"
    )
    print_table(table, console, Text(title))


def counterparts(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``counterpart``."""
    console = console_for(file)
    listed = dicts(rows)
    first = listed[0]
    longest = max(row["similarity"] for row in listed)

    def drawn(with_bars: bool) -> Table:
        table = new_table()
        table.add_column("rank", justify="right", no_wrap=True)
        table.add_column("class", overflow="fold", min_width=8)
        table.add_column("similarity", justify="right", no_wrap=True)
        if with_bars:
            table.add_column("", no_wrap=True)
        table.add_column("", no_wrap=True)
        for row in listed:
            cells: list[str | Text] = [
                str(row["rank"]),
                Text(printable(row["counterpart"])),
                f"{row['similarity']:.4f}",
            ]
            if with_bars:
                cells.append(bar(row["similarity"], longest, file))
            cells.append("same concept" if row["same_concept"] else "")
            table.add_row(*cells)
        return table

    with_bars = least_width(drawn(True), console) <= console.width
    title = f"{printable(first['class'])} of {printable(first['model_a'])} in {printable(first['model_b'])}"
    print_table(drawn(with_bars), console, Text(title))
    own = " (the class itself is none)" if first["same_concept"] is not None else ""
    trust = (
        f"{first['anchors']:,} anchors{own}. Left out of them, a shared class finds its twin first in "
        f"{first['accuracy']:.1%} of cases, among the first five in {first['accuracy_5']:.1%}"
    )
    console.print(Text(trust, style="dim"))


def explanation(names: Sequence[str] | None) -> str:
    """What the measures of these names are, or all of them, as text."""
    from classrel_db.catalog.comparing import measures_named

    parts = []
    for measure in measures_named(names):
        low, high = (f"{bound:.4g}" for bound in measure.bounds)
        parts.append(
            f"{measure.name}: {measure.title}\n"
            f"  formula   {measure.formula}\n"
            f"  range     {low} to {high}; {measure.at_self:g} for a head against itself\n"
            f"  reading   {measure.reading}\n"
            f"  source    {measure.source}\n"
        )
    return "\n".join(parts)


def probability(p: float | None) -> str:
    """A p-value to two digits, never 0."""
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.0095 else f"{p:.1e}" if p < 0.00095 else f"{p:.4f}"


def _matrix(
    models: Sequence[str], values: dict[tuple[str, str], float | None], sign: int, console: Console
) -> list[Table]:
    """As many tables as the models need columns; columns are numbered as the rows are."""
    names = max(len(printable(model)) for model in models)
    room = max(1, (console.width - names - 8) // _CELL)
    known = sorted(sign * value for value in values.values() if value is not None)
    bright = known[len(known) // 2] if known else 0.0
    tables = []
    for start in range(0, len(models), room):
        table = new_table()
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for number in range(start + 1, min(start + room, len(models)) + 1):
            table.add_column(str(number), justify="right", no_wrap=True)
        for number, model in enumerate(models, 1):
            cells = [
                _matrix_cell(values, model, other, sign, bright)
                for other in models[start : start + room]
            ]
            table.add_row(str(number), Text(printable(model)), *cells)
        tables.append(table)
    return tables


def _matrix_cell(
    values: dict[tuple[str, str], float | None], model: str, other: str, sign: int, bright: float
) -> Text:
    if model == other:
        return Text("·", style="dim")
    value = values.get((model, other))
    if value is None:
        return Text("–", style="dim")
    return Text(
        f"{value:.3f}".replace("0.", ".", 1), style="green" if sign * value >= bright else ""
    )


def _four(value: float | None) -> str:
    return _number(value, 4)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.0000
