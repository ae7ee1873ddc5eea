"""Trees for other programs: Newick, Nexus, GraphML and node-link JSON.

A tree comes as rows, one a node, and may be a part of one: its root is the row without a parent, and
a node without children that has several classes under it is a tip that stands for all of them.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from classrel_db.errors import ArgumentError
from classrel_db.render.formats import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from duckdb import DuckDBPyRelation

    from classrel_db.records import TreeFormat

# .json is not among them: the ending stands for rows
TREE_ENDINGS: dict[str, TreeFormat] = {
    ".nwk": "newick",
    ".newick": "newick",
    ".tree": "newick",
    ".nex": "nexus",
    ".nexus": "nexus",
    ".graphml": "graphml",
}
_ATTRIBUTES = ("size", "place", "height", "concept", "f1", "support", "models", "nearly")
_PLAIN = re.compile(r"[A-Za-z0-9.]*[A-Za-z][A-Za-z0-9.]*")  # what no program needs quotes for
# ape's readers know no doubled quotes: of `'it''s'` they make NA
_NO_QUOTES = str.maketrans({"'": "’"})
# ape's read.nexus knows no quotes at all: it cuts comments and statements out of them
_NO_STATEMENTS = str.maketrans({"'": "’", '"': "”", "[": "(", "]": ")", ";": ","})
# without numbers for the labels it takes structure out of them too
_STRUCTURE = re.compile(r"""[()\[\]{},:;=*/\\<>"']""")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree; ``above`` is its parent's position in the tree, -1 for the root."""

    above: int
    tip: bool
    values: Mapping[str, Any]

    @property
    def collapsed(self) -> bool:
        """Whether it is a tip that stands for several classes."""
        return self.tip and int(self.values["size"]) > 1


@dataclass(frozen=True, slots=True)
class ClassTree:
    """The tree of one model. Each node stands behind its parent, those of each clade together."""

    model: str | None
    nodes: tuple[Node, ...]

    @property
    def has_heights(self) -> bool:
        """Whether every inner node has a height; a consensus of trees has none."""
        return all(node.tip or node.values["height"] is not None for node in self.nodes)


def read_trees(rows: DuckDBPyRelation) -> list[ClassTree]:
    """The trees of the rows, one a model, in the order of their first rows.

    Raises ArgumentError where a model's rows are no tree.
    """
    names = rows.columns
    by_model: dict[str | None, list[dict[str, Any]]] = {}
    for row in values(rows):
        item = dict(zip(names, row, strict=True))
        by_model.setdefault(item["model"], []).append(item)
    return [_tree(model, items) for model, items in by_model.items()]


def _tree(model: str | None, items: Sequence[dict[str, Any]]) -> ClassTree:
    # children by the place of their first leaf; the sort is stable: without places, as they come
    ordered = sorted(items, key=lambda item: -1 if item["place"] is None else item["place"])
    below: dict[int | None, list[dict[str, Any]]] = {}
    for item in ordered:
        below.setdefault(item["parent"], []).append(item)
    roots = below.get(None, [])
    if len(roots) != 1:
        raise ArgumentError(f"the rows of {model} are no tree: {len(roots)} nodes have no parent")
    nodes: list[Node] = []
    waiting = [(-1, roots[0])]
    while waiting and len(nodes) <= len(items):
        above, item = waiting.pop()
        children = below.get(item["node"], [])
        position = len(nodes)
        nodes.append(Node(above, not children, item))
        waiting.extend((position, child) for child in reversed(children))
    if len(nodes) != len(items):
        raise ArgumentError(f"the rows of {model} are no tree: not all hang on the root")
    return ClassTree(model, tuple(nodes))


def tip_names(
    tree: ClassTree, clean: Callable[[str], str] = str, key: Callable[[str], str] = str
) -> list[str | None]:
    """What to call each tip, no two of them alike; None for inner nodes.

    Labels are for display, and two classes may share one: those get their concept behind it, and
    clades that share name and size the number of their node. ``clean`` makes a name fit the format;
    names of one ``key`` are alike.
    """
    called: list[str | None] = []
    marks: list[str] = []
    for node in tree.nodes:
        item = node.values
        mark = f"clade {item['node']}"
        if not node.tip:
            called.append(None)
        elif node.collapsed:
            called.append(f"{item['name'] or mark} ({item['size']:,})")
        else:
            mark = item["concept"] or f"class {item['node']}"
            label = item["name"] or ""
            # scikit-bio takes a label of nothing but these for syntax, quoted or not
            if label and not label.strip("(),:;'"):
                label = f"{label} ({mark})"
            called.append(label if _one_line(label).strip() else mark)
        marks.append(mark)
    found = [None if name is None else clean(name) for name in called]
    while True:
        often = Counter(key(name) for name in found if name is not None)
        alike = [
            number for number, name in enumerate(found) if name is not None and often[key(name)] > 1
        ]
        if not alike:
            return found
        for number in alike:
            called[number] = f"{called[number]} ({marks[number]})"
            found[number] = clean(str(called[number]))
            # should another's label end in this very concept, there is the node
            marks[number] = f"node {tree.nodes[number].values['node']}"


def write_tree(rows: DuckDBPyRelation, format: TreeFormat, out: TextIO) -> None:
    """Write the tree of each model in the rows to ``out``, which is not closed.

    Newick has a tree a line, Nexus a TREE statement each, in the order of the models. A branch is half
    as long as its parent's height is above its own, which may be negative where heights are not
    monotone; a tree without heights has no lengths. An inner node is labelled with its support in whole
    per cent, that over the models where it has none of its own. A control character is written as a blank.
    Nexus, for R's ape, has ’ for an apostrophe, ( for [ and , for ; too, and for trees that differ in
    their tips _ for a blank and - for what is part of its syntax.

    Raises ArgumentError where there is no tree, or several models for GraphML or node-link.
    """
    trees = read_trees(rows)
    if not trees:
        raise ArgumentError("there is no tree to write")
    if format == "newick":
        for tree in trees:
            _write_newick(tree, out)
    elif format == "nexus":
        _write_nexus(trees, out)
    elif len(trees) > 1:
        raise ArgumentError(
            f"{format} holds the tree of one model, not of {len(trees)}; name one model, or use "
            "newick or nexus"
        )
    elif format == "graphml":
        _write_graphml(trees[0], out)
    else:
        _write_node_link(trees[0], out)


def per_cent(share: float) -> str:
    """A share as whole per cent without the sign: 98."""
    return f"{100 * share:.0f}"


def branch_lengths(tree: ClassTree) -> list[float | None]:
    """The length of the branch to each node, None for the root and where there are no heights.

    Half of what the heights differ by: the way from one tip to another is then the height at which they
    are joined, as in the trees that ape makes of hclust and scikit-bio of linkage matrices.
    """
    if not tree.has_heights:
        return [None] * len(tree.nodes)
    heights = [node.values["height"] or 0.0 for node in tree.nodes]
    return [
        None if node.above < 0 else (heights[node.above] - height) / 2
        for node, height in zip(tree.nodes, heights, strict=True)
    ]


def _spelled(tree: ClassTree, tips: Mapping[str, str], names: Sequence[str | None]) -> str:
    """The tree in Newick, with what ``tips`` has for the name of each tip.

    scikit-bio writes numbers in their places: it would leave blanks without quotes, as underscores,
    which it reads as blanks again but ape as underscores.
    """
    from classrel_db.maths.trees.skbio_tree import tree_node

    labels: list[str | None] = []
    numbered: list[str] = []
    for node, name in zip(tree.nodes, names, strict=True):
        if name is not None:
            labels.append(str(len(numbered)))
            numbered.append(tips[name])
            continue
        share = node.values["support"]
        share = node.values["models"] if share is None else share
        labels.append(None if share is None else per_cent(share))
    written = io.StringIO()
    tree_node([node.above for node in tree.nodes], branch_lengths(tree), labels).write(written)
    # a tip stands behind ( or ,; an inner node's label behind ) and a length behind :
    return re.sub(
        r"(^|[(,])(\d+)", lambda at: at[1] + numbered[int(at[2])], written.getvalue().strip()
    )


def _one_line(text: str) -> str:
    """``text`` with a blank for each character that is none: line breaks, tabs, escapes."""
    return "".join(
        " " if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in "\ufffe\uffff" else c
        for c in text
    )


def _quoted(name: str) -> str:
    # a number without quotes may be taken for the place of a taxon, an underscore for a blank
    if _PLAIN.fullmatch(name):
        return name
    doubled = name.replace("'", "''")
    return f"'{doubled}'"


def _write_newick(tree: ClassTree, out: TextIO) -> None:
    names = tip_names(tree, _one_line)
    out.write(_spelled(tree, {name: _quoted(name) for name in names if name is not None}, names))
    out.write("\n")


def _write_nexus(trees: Sequence[ClassTree], out: TextIO) -> None:
    named = [tip_names(tree, _statement_free, str.casefold) for tree in trees]
    taxa = list(dict.fromkeys(name for names in named for name in names if name is not None))
    # ape gives all translated trees the same tips: where they differ, names stand in the trees
    translated = all(sum(name is not None for name in names) == len(taxa) for names in named)
    if not translated:
        named = [tip_names(tree, _structure_free, str.casefold) for tree in trees]
        taxa = list(dict.fromkeys(name for names in named for name in names if name is not None))
    spelled = {name: _quoted(name) if translated or name.isdigit() else name for name in taxa}
    tips = {name: str(n) for n, name in enumerate(taxa, 1)} if translated else spelled
    out.write(f"#NEXUS\n\nBEGIN TAXA;\n\tDIMENSIONS NTAX={len(taxa)};\n\tTAXLABELS\n")
    out.writelines(f"\t\t{name}\n" for name in spelled.values())
    out.write("\t;\nEND;\n\nBEGIN TREES;\n")
    if translated:
        lines = ",\n".join(f"\t\t{tips[name]} {spelled[name]}" for name in taxa)
        out.write(f"\tTRANSLATE\n{lines}\n\t;\n")
    for number, (tree, names) in enumerate(zip(trees, named, strict=True), 1):
        title = _statement_free(tree.model or f"tree {number}")
        out.write(f"\tTREE {_quoted(title)} = [&R] {_spelled(tree, tips, names)}\n")
    out.write("END;\n")


def _statement_free(name: str) -> str:
    return _one_line(name).translate(_NO_STATEMENTS)


def _structure_free(name: str) -> str:
    return re.sub(r"\s", "_", _STRUCTURE.sub("-", _one_line(name)))


def _graph(tree: ClassTree, clean: Callable[[str], str]) -> Any:
    """The tree as a networkx.DiGraph from the root to the leaves; what is unknown is left out."""
    import networkx as nx

    def cleaned(value: Any) -> Any:
        return clean(value) if isinstance(value, str) else value

    graph = nx.DiGraph()
    if tree.model is not None:
        graph.graph["name"] = clean(tree.model)
    for node, name in zip(tree.nodes, tip_names(tree, clean), strict=True):
        item = node.values
        label = cleaned(item["name"]) if name is None else name
        known = {"label": label, **{key: cleaned(item[key]) for key in _ATTRIBUTES}}
        graph.add_node(
            item["node"], **{key: value for key, value in known.items() if value is not None}
        )
    for node, length in zip(tree.nodes, branch_lengths(tree), strict=True):
        if node.above >= 0:
            above = tree.nodes[node.above].values["node"]
            known = {} if length is None else {"length": length}
            graph.add_edge(above, node.values["node"], **known)
    return graph


def _write_graphml(tree: ClassTree, out: TextIO) -> None:
    import networkx as nx

    # XML has no control characters, not even escaped
    written = io.BytesIO()
    nx.write_graphml_xml(_graph(tree, _one_line), written, encoding="utf-8")
    out.write(written.getvalue().decode())
    out.write("\n")


def _write_node_link(tree: ClassTree, out: TextIO) -> None:
    import networkx as nx

    data = nx.node_link_data(_graph(tree, str), edges="edges")
    json.dump(data, out, ensure_ascii=False, allow_nan=False)
    out.write("\n")
