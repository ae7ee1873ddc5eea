"""What the readers of all kinds of taxonomies share: the file, names, notes, the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from classrel_db.errors import LabelError, TaxonomyError
from classrel_db.records import Taxonomy, taxon_name
from classrel_db.sources.labels import label_space
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from classrel_db.records import TaxonomyKind

NOT_GIVEN = frozenset({"", "NA", "N/A", "-"})
_LONGEST_NAME = 300
_MOST_SHOWN = 5
# printable text up to here is a name without a closer look: the labels' own check takes longer
_SURELY_FINE = 100


@dataclass(slots=True)
class Graph:
    """Taxa by index: ``children[e]`` stands under ``parents[e]``; ``names`` are (name, taxon)."""

    keys: list[str]
    labels: list[str]
    ranks: list[str | None]
    children: list[int]
    parents: list[int]
    lengths: list[float | None]
    names: Iterable[tuple[str, int]]
    notes: list[str]


def assembled(graph: Graph, kind: TaxonomyKind, path: Path, where: str) -> Taxonomy:
    if not graph.children:
        raise TaxonomyError(
            f"{where}: no taxon stands under another; a taxonomy needs at least two taxa, "
            f"one of them under the other"
        )
    names = [(name, graph.keys[taxon]) for name, taxon in graph.names]
    _add_root(graph)
    return Taxonomy(
        kind=kind,
        source=str(path),
        taxa=graph.keys,
        labels=graph.labels,
        ranks=graph.ranks,
        children=[graph.keys[taxon] for taxon in graph.children],
        parents=[graph.keys[taxon] for taxon in graph.parents],
        lengths=graph.lengths,
        names=names,
        notes=tuple(graph.notes),
    )


def _add_root(graph: Graph) -> None:
    """One taxon above several tops, so that any two taxa have a common ancestor."""
    under = set(graph.children)
    tops = [taxon for taxon in range(len(graph.keys)) if taxon not in under]
    if len(tops) == 1:
        return
    taken = set(graph.keys)
    key = free_key("(root)" if "root" in taken else "root", taken)
    root = len(graph.keys)
    graph.keys.append(key)
    graph.labels.append(key)
    graph.ranks.append(None)
    graph.children.extend(tops)
    graph.parents.extend([root] * len(tops))
    graph.lengths.extend([None] * len(tops))
    graph.notes.append(
        f"{len(tops):,} taxa stand under no other ({some_of(graph.keys[top] for top in tops)}): "
        f"one taxon {quoted(key)} was added above them"
    )


def shown_path(path: Path) -> str:
    return quoted(str(path), _LONGEST_NAME)


def read_text(path: Path, where: str) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise TaxonomyError(f"there is no taxonomy file {where}") from error
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise TaxonomyError(
            f"{where}, row {row}: the text is not UTF-8; save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise TaxonomyError(f"can't read {where}: {str(reason).lower()}") from error
    null = text.find("\0")
    if null >= 0:
        raise TaxonomyError(
            f"{where}, row {row_at(text, null)}: there is a NUL byte, so this is no text in UTF-8; "
            f"save the taxonomy as csv, tsv or Newick in UTF-8"
        )
    if not text.strip():
        raise TaxonomyError(f"{where}: the file is empty")
    return text


def row_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def cleaned(raw: str, where: str, row: int) -> str:
    """A name without the blanks around it, empty where none is given."""
    if len(raw) <= _SURELY_FINE and raw.isprintable():
        name = raw.strip()
    elif not raw.strip():
        return ""
    else:
        try:
            name = label_space("", [raw], None, where, row).labels[0]
        except LabelError as error:
            raise TaxonomyError(str(error)) from error
    # underscores alone would match as an empty name
    return name if name not in NOT_GIVEN and taxon_name(name) else ""


def free_key(key: str, taken: Collection[str]) -> str:
    """``key``, or the first of ``key (2)``, ``key (3)``, … that is not taken."""
    number, found = 1, key
    while found in taken:
        number += 1
        found = f"{key} ({number})"
    return found


def some_of(names: Iterable[str]) -> str:
    """The first few names for a message."""
    shown: list[str] = []
    for name in names:
        if len(shown) == _MOST_SHOWN:
            return f"{', '.join(shown)}, …"
        shown.append(quoted(name))
    return ", ".join(shown)


def counted(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {several}"
