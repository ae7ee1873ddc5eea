"""Lineage tables: a column a rank, the highest first, and a row a taxon of the lowest rank."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.errors import TaxonomyError
from classrel_db.records import taxon_name
from classrel_db.sources.taxonomy.parts import NOT_GIVEN, Graph, cleaned, counted, free_key, some_of
from classrel_db.sources.taxonomy.table import OtherName, Table, matching, split_synonyms
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_SPECIAL = ("concept", "synonyms", "label")  # columns of a lineage table that are no ranks
_TOP = -1  # the parent of what stands under nothing
_SEVERAL = -2


@dataclass(slots=True)
class _Row:
    """The row that is being read, for messages."""

    where: str
    row: int = 1


class _Spellings(dict[str, int]):
    """The code of each cell of one rank, 0 where none is given; names that match alike share one.

    ``names`` and ``folded`` are by code.
    """

    def __init__(self, place: _Row) -> None:
        self.place = place
        self.names = [""]
        self.folded = [""]
        self.respelled: dict[str, str] = {}
        self._codes = {"": 0}

    def __missing__(self, raw: str) -> int:
        name = cleaned(raw, self.place.where, self.place.row)
        folded = taxon_name(name)
        code = self._codes.setdefault(folded, len(self.names))
        if code == len(self.names):
            self.names.append(name)
            self.folded.append(folded)
        elif name != self.names[code]:
            self.respelled[name] = self.names[code]
        self[raw] = code
        return code


_LINNAEAN = (
    "domain", "kingdom", "phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species",
    "subspecies",
)  # fmt: skip


@dataclass(slots=True)
class _Lineages:
    """The rows as codes (rows × ranks) and the taxa found so far, rank by rank from the top.

    ``current`` is the lowest taxon of each row as yet.
    """

    table: Table
    ranks: list[str]
    spellings: list[_Spellings]
    codes: NDArray[np.int32]
    lines: array[int]
    current: NDArray[np.int64]
    names: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def add(self, level: int, code: int, parent: int) -> int:
        self.names.append(self.spellings[level].names[code])
        self.folded.append(self.spellings[level].folded[code])
        self.levels.append(level)
        self.parents.append(parent)
        return len(self.names) - 1

    def above(self, taxon: int) -> Iterator[int]:
        """The ancestors of a taxon, nearest first, to ``_TOP``."""
        while taxon != _TOP:
            taxon = self.parents[taxon]
            yield taxon

    def shown(self, taxon: int) -> str:
        return "no higher taxon" if taxon == _TOP else quoted(self.names[taxon])


def read_lineage(table: Table) -> Graph:
    special = {name: index for index, name in enumerate(table.folded) if name in _SPECIAL}
    ranks = [c for c, name in zip(table.columns, table.folded, strict=True) if name not in special]
    if len(ranks) < 2:
        raise TaxonomyError(
            f"{table.where}: a lineage table needs columns for two ranks at least, the highest first "
            f"(such as family, genus, species); it has {some_of(table.columns)}"
        )
    _refuse_reversed(ranks, table.where)
    lineages, asides = _coded(table, ranks, special)
    for level in range(len(ranks)):
        _place_rank(lineages, level)
    labels = list(lineages.names)
    others: list[OtherName] = []
    notes = _hole_notes(lineages)
    notes += _take_asides(lineages, asides, labels, others)
    own, keys, key_notes = _own_names(lineages)
    lowest = lineages.levels.count(len(ranks) - 1)
    # taxa are in the order of their ranks: the lowest are the last
    firm = range(len(keys) - lowest, len(keys))
    names = matching(own, firm, others, lineages.names, table)
    under = [taxon for taxon, parent in enumerate(lineages.parents) if parent != _TOP]
    return Graph(
        keys=keys,
        labels=labels,
        ranks=[ranks[level] for level in lineages.levels],
        children=under,
        parents=[lineages.parents[taxon] for taxon in under],
        lengths=[None] * len(under),
        names=names.items(),
        notes=notes + key_notes,
    )


_Aside = tuple[int, str, str]  # the row's number in the codes, the special column, the cell


def _refuse_reversed(ranks: Sequence[str], where: str) -> None:
    """Raise TaxonomyError where two well-known ranks stand in the wrong order."""
    known = [
        (_LINNAEAN.index(rank.casefold()), rank) for rank in ranks if rank.casefold() in _LINNAEAN
    ]
    for (level, rank), (next_level, other) in pairwise(known):
        if next_level < level:
            raise TaxonomyError(
                f"{where}: the column {quoted(rank)} stands before {quoted(other)}; the highest rank comes "
                f"first: {' > '.join(sorted((rank, other), key=lambda r: _LINNAEAN.index(r.casefold())))}"
            )


def _coded(
    table: Table, ranks: list[str], special: Mapping[str, int]
) -> tuple[_Lineages, list[_Aside]]:
    """Read all rows: their names as codes, and what their special columns hold."""
    place = _Row(table.where)
    spellings = [_Spellings(place) for _ in ranks]
    columns = [index for index, name in enumerate(table.folded) if name not in special]
    lookups = list(zip(spellings, columns, strict=True))
    codes = array("i")
    lines = array("q")
    asides: list[_Aside] = []
    for line, row in table.rows:
        for name, index in special.items():
            if row[index].strip() not in NOT_GIVEN:
                asides.append((len(lines), name, row[index]))
        lines.append(line)
        place.row = line
        codes.extend([lookup[row[index]] for lookup, index in lookups])
    shaped = np.array(codes, dtype=np.int32).reshape(len(lines), len(ranks))
    current = np.full(len(lines), _TOP, dtype=np.int64)
    return _Lineages(table, ranks, spellings, shaped, lines, current), asides


def _place_rank(lineages: _Lineages, level: int) -> None:
    """Find the taxa of one rank, all higher ones known, and put them into ``current``."""
    rows = np.flatnonzero(lineages.codes[:, level])
    # each pair of a name and what it stands under once, in the order of the names
    pairs = lineages.codes[rows, level].astype(np.int64) << 32 | (lineages.current[rows] - _TOP)
    unique, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    names: list[int] = (unique >> 32).tolist()
    parents: list[int] = ((unique & 0xFFFFFFFF) + _TOP).tolist()
    taxa: list[int] = []
    start = 0
    for stop in range(1, len(names) + 1):
        if stop < len(names) and names[stop] == names[start]:
            continue
        if stop - start == 1:
            taxa.append(lineages.add(level, names[start], parents[start]))
        else:
            named = [lineages.lines[row] for row in rows[first[start:stop]].tolist()]
            taxa += _same_named(lineages, level, names[start], parents[start:stop], named)
        start = stop
    lineages.current[rows] = np.array(taxa, dtype=np.int64)[inverse]


def _same_named(
    lineages: _Lineages, level: int, code: int, parents: Sequence[int], rows: Sequence[int]
) -> list[int]:
    """The taxon under each of several ``parents`` that have one of the same name and rank.

    A parent above another of them is a gap in some rows: the taxon stands under the lower one. What is
    left are homonyms, which the lowest rank can't have: classes are matched by its names.
    """
    above_some = {above for parent in parents for above in lineages.above(parent)}
    lower = [parent for parent in parents if parent not in above_some]
    if len(lower) > 1 and level == len(lineages.ranks) - 1:
        (row_a, a), (row_b, b) = sorted(zip(rows, parents, strict=True), key=_row_if(lower))[:2]
        raise TaxonomyError(
            f"{lineages.table.where}, rows {row_a} and {row_b}: {lineages.ranks[level]} "
            f"{quoted(lineages.spellings[level].names[code])} stands under {lineages.shown(a)} and "
            f"under {lineages.shown(b)}; give it one lineage, and where two taxa share the name, "
            f"tell them apart by the full name"
        )
    found = {parent: lineages.add(level, code, parent) for parent in lower}
    below = dict(found)
    for parent, taxon in found.items():
        for above in lineages.above(parent):
            below[above] = taxon if above not in below else _SEVERAL
    for parent, row in zip(parents, rows, strict=True):
        if below[parent] == _SEVERAL:
            lineages.table.refuse(
                row,
                f"{lineages.ranks[level]} {quoted(lineages.spellings[level].names[code])} under "
                f"{lineages.shown(parent)} may be that under any of "
                f"{some_of(lineages.names[each] for each in lower)}; fill in the ranks between",
            )
    return [below[parent] for parent in parents]


def _row_if(chosen: Collection[int]) -> Callable[[tuple[int, int]], tuple[bool, int]]:
    """Sorts (row, parent) by row, the chosen parents first."""
    return lambda each: (each[1] not in chosen, each[0])


def _hole_notes(lineages: _Lineages) -> list[str]:
    """What is said of cells that are not given, of rows that say the same, and of spellings."""
    given = lineages.codes > 0
    notes: list[str] = []
    # given somewhere below: a row's cells from its lowest given rank upwards
    below = np.logical_or.accumulate(given[:, ::-1], axis=1)[:, ::-1]
    holes = below & ~given
    if holes.any():
        rows = np.flatnonzero(holes.any(axis=1))
        notes.append(
            f"{counted(int(holes.sum()), 'cell', 'cells')} above a given taxon not filled in, first in "
            f"row {lineages.lines[rows[0]]}: the taxon stands under the nearest higher one"
        )
    short = np.flatnonzero(given.any(axis=1) & ~given[:, -1])
    if len(short):
        notes.append(
            f"{counted(len(short), 'row', 'rows')} without {lineages.ranks[-1]}, first row "
            f"{lineages.lines[short[0]]}: the lowest given taxon was added"
        )
    notes += _repeat_notes(lineages)
    respelled = {a: b for spelling in lineages.spellings for a, b in spelling.respelled.items()}
    if respelled:
        name, kept = next(iter(respelled.items()))
        notes.append(
            f"{counted(len(respelled), 'spelling', 'spellings')} that differ only in case, blanks or "
            f"underscores from an earlier one: the first is kept ({quoted(kept)} for {quoted(name)})"
        )
    return notes


def _repeat_notes(lineages: _Lineages) -> list[str]:
    named = np.flatnonzero(lineages.codes[:, -1])
    _, first = np.unique(lineages.codes[named, -1], return_index=True)
    repeats = np.delete(named, first)
    if not len(repeats):
        return []
    row = repeats[0]
    return [
        f"{counted(len(repeats), 'row', 'rows')} with {lineages.ranks[-1]} of an earlier row, first row "
        f"{lineages.lines[row]} ({quoted(lineages.names[lineages.current[row]])}): merged"
    ]


def _take_asides(
    lineages: _Lineages, asides: Sequence[_Aside], labels: list[str], others: list[OtherName]
) -> list[str]:
    """Put what the special columns say into ``labels`` and ``others``."""
    labelled: dict[int, str] = {}
    ignored: list[int] = []
    for index, column, cell in asides:
        taxon, row = int(lineages.current[index]), lineages.lines[index]
        if taxon == _TOP:
            lineages.table.refuse(
                row, f"there is a {column} but no taxon; fill in a rank, or take the row out"
            )
        if column == "synonyms":
            names = split_synonyms(cell, lineages.table, row)
            others.extend(OtherName(name, taxon, row) for name in names)
        elif name := cleaned(cell, lineages.table.where, row):
            if column == "concept":
                others.append(OtherName(name, taxon, row))
            elif labelled.setdefault(taxon, name) != name:
                ignored.append(row)
    for taxon, label in labelled.items():
        labels[taxon] = label
    if not ignored:
        return []
    return [
        f"{counted(len(ignored), 'row', 'rows')} with another label for a taxon that has one, first row "
        f"{ignored[0]}: the first label is kept"
    ]


def _own_names(lineages: _Lineages) -> tuple[dict[str, int], list[str], list[str]]:
    """Which taxon each plain name matches, the key of every taxon, and notes on shared names.

    Of taxa that share a name the one of the lowest rank has it for its key. If several are of that rank
    none has it, as no class can tell them apart.
    """
    own: dict[str, int] = {}
    shared: dict[str, list[int]] = {}
    for taxon, name in enumerate(lineages.folded):
        if own.setdefault(name, taxon) != taxon:
            shared.setdefault(name, [own[name]]).append(taxon)
    keys = list(lineages.names)
    taken = set(keys) if shared else set()
    homonyms: list[int] = []
    across: list[int] = []
    renamed: dict[int, bool] = {}  # whether a taxon needs its parent's name to be told apart
    for name, taxa in shared.items():
        ranks = Counter(lineages.levels[taxon] for taxon in taxa)
        lowest = lineages.levels[taxa[-1]]
        if ranks[lowest] == 1:
            own[name] = taxa.pop()
        else:
            del own[name]
        renamed.update((taxon, ranks[lineages.levels[taxon]] > 1) for taxon in taxa)
        (homonyms if max(ranks.values()) > 1 else across).append(taxa[0])
    for taxon in sorted(renamed):  # from the top: a parent has its key first
        parent, rank = lineages.parents[taxon], lineages.ranks[lineages.levels[taxon]]
        which = keys[parent] if renamed[taxon] else rank
        keys[taxon] = free_key(f"{keys[taxon]} ({which})", taken)
        taken.add(keys[taxon])
    return own, keys, _shared_notes(homonyms, across, keys)


def _shared_notes(homonyms: Sequence[int], across: Sequence[int], keys: Sequence[str]) -> list[str]:
    notes = []
    if homonyms:
        notes.append(
            f"{counted(len(homonyms), 'name', 'names')} of several taxa of one rank: they are kept apart, "
            f"such as {quoted(keys[homonyms[0]])}, and the name alone matches none of them"
        )
    if across:
        notes.append(
            f"{counted(len(across), 'name', 'names')} at several ranks: the name alone is the lowest's, "
            f"the higher are such as {quoted(keys[across[0]])}"
        )
    return notes
