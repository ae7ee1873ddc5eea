"""Edge lists: a row for each taxon and the one it stands under."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from classrel_db.errors import TaxonomyError
from classrel_db.records import taxon_name
from classrel_db.sources.taxonomy.parts import NOT_GIVEN, Graph, cleaned, counted, some_of
from classrel_db.sources.taxonomy.table import OtherName, Table, matching, split_synonyms
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OF_EDGES = ("child", "parent", "rank", "label", "length", "synonyms", "concept")
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_MOST_OF_CYCLE = 8


@dataclass(slots=True)
class _EdgeList:
    """The taxa of an edge list in the order of their first row, and what is said of each."""

    table: Table
    names: list[str] = field(default_factory=list)
    first_rows: list[int] = field(default_factory=list)
    by_name: dict[str, int] = field(default_factory=dict)
    own: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], tuple[float | None, int]] = field(default_factory=dict)
    said: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    others: list[OtherName] = field(default_factory=list)
    roots: dict[int, int] = field(default_factory=dict)
    repeats: list[int] = field(default_factory=list)

    def taxon(self, name: str, row: int) -> int:
        """The index of a name, which only one spelling may have."""
        known = self.by_name.get(name)
        if known is not None:
            return known
        new = len(self.names)
        same = self.own.setdefault(taxon_name(name), new)
        if same != new:
            raise TaxonomyError(
                f"{self.table.where}, rows {self.first_rows[same]} and {row}: "
                f"{quoted(self.names[same])} and {quoted(name)} differ only in case, blanks or "
                f"underscores; spell one taxon in one way, and two taxa differently"
            )
        self.names.append(name)
        self.first_rows.append(row)
        self.by_name[name] = new
        return new

    def add_edge(self, child: int, parent: int, length: float | None, row: int) -> None:
        if (child, parent) not in self.edges:
            self.edges[child, parent] = length, row
            return
        known, before = self.edges[child, parent]
        if None not in (known, length) and known != length:
            raise TaxonomyError(
                f"{self.table.where}, rows {before} and {row}: {quoted(self.names[child])} under "
                f"{quoted(self.names[parent])} has the lengths {known} and {length}; give one of them"
            )
        self.edges[child, parent] = length if known is None else known, before
        self.repeats.append(row)

    def say(self, what: str, taxon: int, value: str, row: int) -> None:
        known, before = self.said.setdefault((what, taxon), (value, row))
        if known != value:
            raise TaxonomyError(
                f"{self.table.where}, rows {before} and {row}: the {what} of "
                f"{quoted(self.names[taxon])} is {quoted(known)} and {quoted(value)}; give one of them"
            )


def read_edges(table: Table) -> Graph:
    column = {name: index for index, name in enumerate(table.folded) if name in _OF_EDGES}
    if not {"child", "parent"} <= set(column):
        raise TaxonomyError(
            f"{table.where}: an edge list has the columns child and parent; it has "
            f"{some_of(table.columns)}"
        )
    edges = _EdgeList(table)
    for line, row in table.rows:
        _read_edge(edges, {name: row[index] for name, index in column.items()}, line)
    for taxon, _ in edges.edges:
        if taxon in edges.roots:
            raise TaxonomyError(
                f"{table.where}, row {edges.roots[taxon]}: {quoted(edges.names[taxon])} has no parent "
                f"here, but one in another row; take one of the two rows out"
            )
    _refuse_cycles(edges)
    taxa = range(len(edges.names))
    notes = []
    if edges.repeats:
        notes.append(
            f"{counted(len(edges.repeats), 'row', 'rows')} with an edge of an earlier row, first row "
            f"{edges.repeats[0]}: merged"
        )
    return Graph(
        keys=edges.names,
        labels=[edges.said.get(("label", i), (edges.names[i], 0))[0] for i in taxa],
        ranks=[edges.said.get(("rank", i), (None, 0))[0] for i in taxa],
        children=[child for child, _ in edges.edges],
        parents=[parent for _, parent in edges.edges],
        lengths=[length for length, _ in edges.edges.values()],
        names=matching(edges.own, taxa, edges.others, edges.names, table).items(),
        notes=notes,
    )


def _read_edge(edges: _EdgeList, cells: Mapping[str, str], row: int) -> None:
    table = edges.table
    given = {
        name: cleaned(cell, table.where, row)
        for name, cell in cells.items()
        if name not in ("synonyms", "length")
    }
    if not given["child"]:
        if any(cell.strip() not in NOT_GIVEN for cell in cells.values()):
            table.refuse(row, "the child is empty; name it, or take the row out")
        return
    child = edges.taxon(given["child"], row)
    length = _length(cells.get("length", ""), table, row)
    if given["parent"]:
        edges.add_edge(child, edges.taxon(given["parent"], row), length, row)
    else:
        edges.roots.setdefault(child, row)
    for what in ("rank", "label"):
        if value := given.get(what):
            edges.say(what, child, value, row)
    names = split_synonyms(cells.get("synonyms", ""), table, row)
    names += filter(None, [given.get("concept")])
    edges.others.extend(OtherName(name, child, row) for name in names)


def _length(cell: str, table: Table, row: int) -> float | None:
    cell = cell.strip()
    if cell in NOT_GIVEN:
        return None
    # float() would take 1_0 and digits of every script
    if not re.fullmatch(NUMBER, cell, re.ASCII) or not 0 <= float(cell) < math.inf:
        table.refuse(row, f"the length is {quoted(cell)}; it must be a finite number of 0 or more")
    return float(cell)


def _refuse_cycles(edges: _EdgeList) -> None:
    """Take away taxa without parents again and again: what is left stands under itself."""
    parents: list[list[int]] = [[] for _ in edges.names]
    children: list[list[int]] = [[] for _ in edges.names]
    for child, parent in edges.edges:
        parents[child].append(parent)
        children[parent].append(child)
    missing = [len(each) for each in parents]
    free = [taxon for taxon, number in enumerate(missing) if not number]
    while free:
        for child in children[free.pop()]:
            missing[child] -= 1
            if not missing[child]:
                free.append(child)
    if any(missing):
        cycle = _cycle(parents, missing)
        row = edges.edges[cycle[0], cycle[1]][1]
        edges.table.refuse(
            row,
            f"{_arrows([edges.names[taxon] for taxon in cycle])} (each under the next) is a cycle; "
            f"no taxon can stand under itself",
        )


def _cycle(parents: Sequence[Sequence[int]], missing: Sequence[int]) -> list[int]:
    """One cycle, from a taxon up to itself; each taxon with a ``missing`` parent has one such parent."""
    taxon = next(index for index, number in enumerate(missing) if number)
    steps: dict[int, int] = {}
    while taxon not in steps:
        steps[taxon] = len(steps)
        taxon = next(parent for parent in parents[taxon] if missing[parent])
    return [*list(steps)[steps[taxon] :], taxon]


def _arrows(names: Sequence[str]) -> str:
    shown = list(map(quoted, names))
    if len(shown) > _MOST_OF_CYCLE:
        shown[_MOST_OF_CYCLE - 2 : -2] = ["…"]
    return " → ".join(shown)
