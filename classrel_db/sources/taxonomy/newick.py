"""One Newick tree."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from classrel_db.errors import TaxonomyError
from classrel_db.records import taxon_name
from classrel_db.sources.taxonomy.edges import NUMBER
from classrel_db.sources.taxonomy.parts import Graph, cleaned, counted, free_key, row_at, some_of
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skbio import TreeNode

_SUPPORT = re.compile(rf"{NUMBER}(/{NUMBER})*")  # some programs write two: 98.5/100
_MARKS = re.compile(r"['\[\];]")  # what decides in Newick whether a semicolon ends the tree
_COMMENT = re.compile(r"\[[^\]]*\]")


def read_newick(text: str, where: str) -> Graph:
    nodes = list(_tree(text, where).preorder())
    names = [_newick_name(node, text, where) for node in nodes]
    is_leaf = [not node.children for node in nodes]
    leaves = [name for name, leaf in zip(names, is_leaf, strict=True) if leaf]
    _refuse_leaves(leaves, where)
    keys, own, notes = _newick_keys(names, is_leaf)
    index = {id(node): taxon for taxon, node in enumerate(nodes)}
    lengths = _branch_lengths(nodes[1:], keys[1:], where)
    if None in lengths and any(length is not None for length in lengths):
        without = lengths.count(None)
        notes.append(
            f"{counted(without, 'branch', 'branches')} of {len(lengths):,} without a length: "
            f"the lengths are left out"
        )
        lengths = [None] * len(lengths)
    return Graph(
        keys=keys,
        labels=list(keys),
        ranks=[None] * len(keys),
        children=list(range(1, len(keys))),
        parents=[index[id(node.parent)] for node in nodes[1:]],
        lengths=lengths,
        names=own.items(),
        notes=notes,
    )


def _tree(text: str, where: str) -> TreeNode:
    if text.lstrip()[:6].upper() == "#NEXUS":
        raise TaxonomyError(f"{where}: this is a NEXUS file; save the tree as Newick")
    # imported here: it takes seconds, and only Newick needs it
    from skbio import TreeNode
    from skbio.io import NewickFormatError

    _refuse_more_trees(text, where)
    try:
        # without the sniffer: it looks at 100 tokens and says less than the reader
        tree: TreeNode = TreeNode.read(io.StringIO(text), format="newick", verify=False)
    except (NewickFormatError, IndexError) as error:  # IndexError: a comma before any parenthesis
        reason = f": {error}" if isinstance(error, NewickFormatError) else "."
        raise TaxonomyError(
            f"{where}: no valid Newick tree{reason} A tree reads ((a:1,b:2)c:1,'d e':3);"
        ) from error
    return tree


def _refuse_more_trees(text: str, where: str) -> None:
    """The reader stops at the first semicolon, and would leave other trees unread without a word."""
    in_quotes, comments = False, 0
    for mark in _MARKS.finditer(text):
        character = mark.group()
        if character == "'" and not comments:
            in_quotes = not in_quotes
        elif in_quotes:
            continue
        elif character == "[":
            comments += 1
        elif character == "]":
            comments = max(comments - 1, 0)
        elif character == ";" and not comments:
            if _COMMENT.sub("", text[mark.end() :]).strip(" \t\r\n;"):
                raise TaxonomyError(
                    f"{where}, row {row_at(text, mark.start())}: there is more after the semicolon "
                    f"that ends the tree; a taxonomy is one tree, so leave one in the file"
                )
            return


def _newick_name(node: TreeNode, text: str, where: str) -> str:
    """The name as the file gives it, empty for none; support values are no names of inner nodes."""
    raw: str = node.name or ""
    if not raw.strip("' "):  # the reader takes '' for a quote
        return ""
    name = cleaned(raw, where, row_at(text, max(text.find(raw), 0)))
    return "" if node.children and _SUPPORT.fullmatch(name) else name


def _refuse_leaves(leaves: Sequence[str], where: str) -> None:
    unnamed = leaves.count("")
    if unnamed:
        raise TaxonomyError(
            f"{where}: {counted(unnamed, 'leaf has', 'leaves have')} no name, of {len(leaves):,}; name "
            f"every leaf"
        )
    if len(leaves) < 2:
        raise TaxonomyError(
            f"{where}: the tree has a single leaf, {quoted(leaves[0])}; a taxonomy needs at least two"
        )
    times = Counter(map(taxon_name, leaves))
    doubled = dict.fromkeys(leaf for leaf in leaves if times[taxon_name(leaf)] > 1)
    if doubled:
        raise TaxonomyError(
            f"{where}: leaves of the same name, case, blanks and underscores aside: "
            f"{some_of(doubled)}; give each leaf its own name"
        )


def _newick_keys(
    names: Sequence[str], is_leaf: Sequence[bool]
) -> tuple[list[str], dict[str, int], list[str]]:
    """The keys of all nodes in preorder, which of them each name matches, and notes.

    A leaf has its name for its key, whatever inner nodes are called. A name of several inner nodes
    matches none of them.
    """
    keys = list(names)
    own = {taxon_name(name): i for i, name in enumerate(names) if is_leaf[i]}
    leaves = frozenset(own)
    taken = set(names)
    doubled: dict[str, str] = {}
    number = 0
    for node, name in enumerate(names):
        if is_leaf[node]:
            continue
        folded = taxon_name(name)
        if not name:
            number = next(n for n in count(number + 1) if f"clade {n}" not in taken)
            keys[node] = f"clade {number}"
        elif own.setdefault(folded, node) != node:
            keys[node] = free_key(name, taken)
            doubled[folded] = keys[node]
        taken.add(keys[node])
    for name in doubled.keys() - leaves:
        del own[name]
    return keys, own, _newick_notes(names.count(""), list(doubled.values()))


def _newick_notes(unnamed: int, doubled: Sequence[str]) -> list[str]:
    notes = []
    if unnamed:
        notes.append(
            f"{counted(unnamed, 'inner node', 'inner nodes')} without a name, or with a support value for "
            f'one: they are called "clade 1", "clade 2" and so on'
        )
    if doubled:
        notes.append(
            f"{counted(len(doubled), 'name', 'names')} of several nodes: the inner ones are kept apart, "
            f"such as {quoted(doubled[0])}"
        )
    return notes


def _branch_lengths(
    nodes: Sequence[TreeNode], keys: Sequence[str], where: str
) -> list[float | None]:
    lengths: list[float | None] = [node.length for node in nodes]
    for length, key in zip(lengths, keys, strict=True):
        if length is not None and not 0 <= length < math.inf:
            raise TaxonomyError(
                f"{where}: the branch of {quoted(key)} has the length {length}; lengths must be finite "
                f"numbers of 0 or more"
            )
    return lengths
