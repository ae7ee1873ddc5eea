"""Tables of clusters, of how trees agree, and of models in a taxonomy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from rich.text import Text

from classrel_db.render.comparisons import probability
from classrel_db.render.tables import bar, console_for, dicts, new_table, print_table
from classrel_db.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyRelation
    from rich.console import Console

_MEMBERS = 12  # classes of a cluster that a table lists, half as many in a narrow one
_NARROW = 100  # characters: below, a table of clusters has fewer columns


def clusters(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``cluster``: a line a cluster, in leaf order."""
    console = console_for(file)
    listed = dicts(rows)
    wide = console.width >= _NARROW
    table = new_table()
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("name", overflow="fold", min_width=16)
    for name in (*(["cosine"] if wide else []), "silhouette", "purity"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("nearest", overflow="fold", min_width=12)
    table.add_column("classes (× not of the taxon)", overflow="fold", ratio=1)
    for number in dict.fromkeys(row["cluster"] for row in listed):
        some = [row for row in listed if row["cluster"] == number]
        first = some[0]
        table.add_row(
            str(number),
            f"{printable(first['name'])} ({first['size']})",
            *([_number(first["similarity"])] if wide else []),
            _number(first["cluster_silhouette"]),
            "" if first["purity"] is None else f"{first['purity']:.0%}",
            *([printable(first["nearest_name"] or "")] if wide else []),
            _members(some, _MEMBERS if wide else _MEMBERS // 2),
        )
    if listed:
        each = [row["silhouette"] for row in listed if row["silhouette"] is not None]
        mean = f", mean silhouette {sum(each) / len(each):.3f}" if each else ""
        count = listed[-1]["cluster"]
        title = (
            f"{printable(listed[0]['model'])}: {count:,} cluster{'s' if count > 1 else ''}{mean}"
        )
        print_table(table, console, Text(title))


def _members(rows: Sequence[Mapping[str, Any]], most: int) -> Text:
    """The classes of a cluster: the medoid first, those that are not of the taxon last."""
    medoid = rows[0]["medoid"]
    ordered = sorted(rows, key=lambda row: (row["fits"] is False, row["class"] != medoid))
    shown = ordered if len(ordered) <= most + 2 else ordered[:most]
    strange = sum(row["fits"] is False for row in ordered[len(shown) :])
    cells = []
    for row in shown:
        misfit = row["fits"] is False and row["size"] > 1
        label = printable(row["class"])
        cells.append(Text(f"×{label}", style="yellow") if misfit else Text(label))
    text = Text(", ").join(cells)
    if len(shown) < len(ordered):
        more = f", and {len(ordered) - len(shown):,} more"
        text.append(more + (f" (×{strange})" if strange else ""), style="dim")
    return text


def comparisons(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``tree compare``: a table for each two models, and how to read the measures."""
    from classrel_db.maths.trees.compare import TREE_MEASURES

    console = console_for(file)
    listed = dicts(rows)
    for a, b in dict.fromkeys((row["model_a"], row["model_b"]) for row in listed):
        some = [row for row in listed if (row["model_a"], row["model_b"]) == (a, b)]
        table = _judged(
            [(row["measure"] + _clusters(row), row) for row in some],
            {"chance": lambda row: _number(row["null_value"]), "95 % of chance": _band},
        )
        title = f"{printable(a)} and {printable(b)}: trees of {some[0]['n']:,} shared classes"
        print_table(table, console, Text(title))
    _readings(
        [(m, TREE_MEASURES[m].reading) for m in dict.fromkeys(row["measure"] for row in listed)],
        console,
    )


def _clusters(row: Mapping[str, Any]) -> str:
    return "" if row["k"] is None else f" (k={row['k']})"


def _band(row: Mapping[str, Any]) -> str:
    low, high = row["null_low"], row["null_high"]
    return "" if low is None else f"{low:.4f} to {high:.4f}"


def taxonomy(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``taxonomy compare``: a table for each model, and how to read the measures."""
    from classrel_db.maths.taxonomic import TAXONOMY_MEASURES

    console = console_for(file)
    listed = dicts(rows)
    for model in dict.fromkeys(row["model"] for row in listed):
        some = [row for row in listed if row["model"] == model]
        table = _judged(
            [(row["measure"], row) for row in some],
            {"95 % interval": _interval, "chance": lambda row: _number(row["null_value"])},
        )
        title = f"{printable(model)} and {printable(some[0]['taxonomy'])}: {some[0]['n']:,} classes"
        print_table(table, console, Text(title))
    measures = dict.fromkeys(row["measure"] for row in listed)
    _readings([(m, TAXONOMY_MEASURES[m].reading) for m in measures], console)


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"


def _judged(rows: Sequence[tuple[str, Mapping[str, Any]]], between: Mapping[str, Any]) -> Any:
    """Estimates, with what stands ``between`` them and their p."""
    table = new_table()
    table.add_column("measure", no_wrap=True)
    for name in ("estimate", *between, "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in rows:
        cells = (cell(row) for cell in between.values())
        estimate = _number(row["estimate"]) or "–"
        table.add_row(name, estimate, *cells, probability(row["p_value"]))
    return table


def _readings(readings: Sequence[tuple[str, str]], console: Console) -> None:
    table = new_table(header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(style="dim", overflow="fold")
    for measure, reading in readings:
        table.add_row(measure, reading)
    print_table(table, console)


def clades(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``taxonomy compare --clades``: a line a taxon."""
    console = console_for(file)
    table = new_table()
    table.add_column("taxon", overflow="fold", min_width=14)
    for name in ("classes", "one clade", "f1", "clade", "smallest"):
        table.add_column(name, justify="right", no_wrap=True)
    if console.width >= _NARROW:
        table.add_column("best clade lacks, and has too many", overflow="fold", ratio=1)
    listed = dicts(rows)
    for row in listed:
        cells = [
            printable(row["label"]),
            f"{row['classes']:,}",
            "yes" if row["monophyletic"] else "",
            f"{row['f1']:.2f}",
            f"{row['clade']:,}",
            f"{row['smallest']:,}",
        ]
        if console.width >= _NARROW:
            cells.append(
                "; ".join(filter(None, (_few("−", row["missing"]), _few("+", row["intruding"]))))
            )
        table.add_row(*cells)
    if listed:
        title = f"{printable(listed[0]['model'])}: what its tree makes of {printable(listed[0]['taxonomy'])}"
        print_table(table, console, Text(title))


def _few(sign: str, labels: Sequence[str]) -> str:
    if not labels:
        return ""
    more = f" … ({len(labels)})" if len(labels) > 3 else ""
    return f"{sign} {', '.join(printable(label) for label in labels[:3])}{more}"


def purity(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``taxonomy compare --purity``: a line a rank, the lowest first."""
    console = console_for(file)
    listed = dicts(rows)
    table = new_table()
    table.add_column("rank", no_wrap=True)
    ranked = any(row["groups"] is not None for row in listed)
    for name in (
        "classes",
        *(["taxa"] if ranked else []),
        "purity",
        "chance",
        "most",
        "ratio",
        "p",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in listed:
        table.add_row(
            printable(row["rank"]),
            f"{row['n']:,}",
            *([f"{row['groups']:,}"] if ranked else []),
            f"{row['purity']:.3f}",
            f"{row['chance']:.3f}",
            f"{row['most']:.3f}",
            "" if row["ratio"] is None else f"{row['ratio']:.1f}",
            probability(row["p_value"]),
            bar(row["purity"], 1.0, file),
        )
    if listed:
        first = listed[0]
        title = (
            f"{printable(first['model'])}: are the {first['k']} nearest of the same taxon of "
            f"{printable(first['taxonomy'])}?"
        )
        print_table(table, console, Text(title))


def surprises(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``taxonomy surprises``: what is closer in the model, then what is farther apart."""
    console = console_for(file)
    listed = dicts(rows)
    what = {
        "closer": "far apart in {taxonomy}, alike in {model}",
        "farther": "near in {taxonomy}, unlike in {model}",
    }
    for kind, title in what.items():
        table = new_table()
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("class", overflow="fold", min_width=12)
        table.add_column("class", overflow="fold", min_width=12)
        for name in ("cosine", "path"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("common ancestor", overflow="fold", min_width=12)
        some = [row for row in listed if row["surprise"] == kind]
        for row in some:
            table.add_row(
                str(row["rank"]),
                printable(row["class_a"]),
                printable(row["class_b"]),
                f"{row['cosine']:.4f}",
                f"{row['path']:g}",
                printable(row["common"]),
            )
        if some:
            named = {key: printable(some[0][key]) for key in ("taxonomy", "model")}
            print_table(table, console, Text(title.format(**named)))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
