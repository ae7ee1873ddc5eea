"""Tables: rows of text with a header, and the names in their special columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from classrel_db.errors import TaxonomyError
from classrel_db.records import taxon_name
from classrel_db.sources.taxonomy.parts import NOT_GIVEN, cleaned, some_of
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_NEWICK_ENDINGS = frozenset({".nwk", ".newick", ".tree", ".tre"})
_TAB_ENDINGS = frozenset({".tsv", ".tab"})
_TABLE_ENDINGS = frozenset({".csv", *_TAB_ENDINGS})
_DELIMITERS = (",", ";", "\t")
_SEPARATORS = re.compile(r"[;|]")  # between the synonyms of one cell
_LONGEST_HEADER = 100_000  # within what a cell of a csv may have


@dataclass(slots=True)
class Table:
    """``columns`` as the first row names them, ``rows`` the others with the line on which each ends."""

    where: str
    columns: list[str]
    rows: Iterator[tuple[int, list[str]]]

    @property
    def folded(self) -> list[str]:
        return [column.casefold() for column in self.columns]

    def refuse(self, row: int, problem: str) -> NoReturn:
        raise TaxonomyError(f"{self.where}, row {row}: {problem}")


def looks_like_newick(text: str, path: Path) -> bool:
    ending = path.suffix.lower()
    # a comment may come first: [&R] says that the tree is rooted
    begins = text.lstrip().startswith(("(", "["))
    return ending in _NEWICK_ENDINGS or (begins and ending not in _TABLE_ENDINGS)


def read_table(text: str, path: Path, where: str) -> Table:
    rows = _records(text, _delimiter(text, path), where)
    line, header = next(rows, (1, []))
    if not header:
        raise TaxonomyError(f"{where}: the file is empty")
    columns = [cleaned(column, where, line) for column in header]
    if len(columns) < 2:
        raise TaxonomyError(
            f"{where}: there is only one column, {quoted(columns[0])}; a table has child and parent, "
            f"or the ranks from the highest to the lowest, separated by comma, semicolon or tab"
        )
    if "" in columns:
        raise TaxonomyError(
            f"{where}: column {columns.index('') + 1} of {len(columns)} has no name; name it in the "
            f"first row, or take it out"
        )
    table = Table(where, columns, rows)
    doubled = [column for column, n in Counter(table.folded).items() if n > 1]
    if doubled:
        raise TaxonomyError(
            f"{where}: several columns are named {some_of(doubled)} (case aside); give each its own name"
        )
    return table


def _delimiter(text: str, path: Path) -> str:
    if path.suffix.lower() in _TAB_ENDINGS:
        return "\t"
    first = text[:_LONGEST_HEADER].lstrip("\r\n ").split("\n", 1)[0]
    return max(_DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))


def _records(text: str, delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not blank, the header first, all as wide as the header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = 0
    try:
        for row in reader:
            if not any(row):
                continue
            width = width or len(row)
            if len(row) == width:
                yield reader.line_num, row
            elif any(map(str.strip, row)):
                raise TaxonomyError(
                    f"{where}, row {reader.line_num}: {len(row)} cells under {width} columns; "
                    f"leave unknown cells empty, and put names that hold a "
                    f"{'tab' if delimiter == chr(9) else quoted(delimiter)} in double quotes"
                )
    except csv.Error as error:
        raise TaxonomyError(f"{where}, row {reader.line_num}: no valid table: {error}") from error


@dataclass(frozen=True, slots=True)
class OtherName:
    """A synonym or concept of a taxon, and the row that gives it."""

    name: str
    taxon: int
    row: int


def split_synonyms(cell: str, table: Table, row: int) -> list[str]:
    if cell.strip() in NOT_GIVEN:
        return []
    return [name for part in _SEPARATORS.split(cell) if (name := cleaned(part, table.where, row))]


def matching(
    own: Mapping[str, int],
    firm: Collection[int],
    others: Iterable[OtherName],
    labels: Sequence[str],
    table: Table,
) -> dict[str, int]:
    """Which taxon each name matches. A taxon of ``firm`` keeps its own name against other names."""
    given: dict[str, OtherName] = {}
    for other in others:
        name = taxon_name(other.name)
        holder = own.get(name, other.taxon)
        if holder != other.taxon and holder in firm:
            table.refuse(
                other.row,
                f"{quoted(other.name)} is a synonym or concept of {quoted(labels[other.taxon])}, but "
                f"another taxon has that name; take it out of one of them",
            )
        before = given.setdefault(name, other)
        if before.taxon != other.taxon:
            table.refuse(
                other.row,
                f"{quoted(other.name)} is a synonym or concept of {quoted(labels[other.taxon])} and, "
                f"in row {before.row}, of {quoted(labels[before.taxon])}; give it to one of them",
            )
    return {**own, **{name: other.taxon for name, other in given.items()}}
