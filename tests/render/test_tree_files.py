"""Trees for other programs, read back by those programs."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess

import duckdb
import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
import skbio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, leaves_list, linkage
from scipy.spatial.distance import squareform

from classrel_db.errors import ArgumentError
from classrel_db.maths.trees.skbio_tree import tree_node
from classrel_db.records import TREE_FORMATS
from classrel_db.render.tree_files import TREE_ENDINGS, write_tree

TEXT, REAL, WHOLE = pa.string(), pa.float64(), pa.int32()
COLUMNS = {
    "model": TEXT, "node": WHOLE, "parent": WHOLE, "left_node": WHOLE, "right_node": WHOLE,
    "height": REAL, "size": WHOLE, "place": WHOLE, "name": TEXT, "f1": REAL, "concept": TEXT,
    "support": REAL, "models": REAL, "nearly": REAL,
}  # fmt: skip
DEEP = 22_000


def relation(rows):
    """Rows, as dicts of the columns that matter, as a relation with all of them."""
    schema = pa.schema(list(COLUMNS.items()))
    return duckdb.connect().from_arrow(pa.Table.from_pylist(rows, schema))


def rows_of(Z, labels=None, model="m", order=None, **inner):
    """The rows of a linkage matrix; ``inner`` are functions from an inner node to a value."""
    n = len(Z) + 1
    labels = [f"class {i}" for i in range(n)] if labels is None else labels
    place = {int(leaf): i for i, leaf in enumerate(leaves_list(Z) if order is None else order)}
    rows = [
        {"model": model, "node": i, "height": 0.0, "size": 1, "place": place[i],
         "name": labels[i], "concept": f"n{i:04d}"}
        for i in range(n)
    ]  # fmt: skip
    for node, (left, right, height, size) in enumerate(Z, n):
        parts = [rows[int(left)], rows[int(right)]]
        for part in parts:
            part["parent"] = node
        rows.append(
            {"model": model, "node": node, "left_node": int(left), "right_node": int(right),
             "height": float(height), "size": int(size), "place": min(p["place"] for p in parts),
             **{key: value(node) for key, value in inner.items()}}
        )  # fmt: skip
    return rows


def ward(n=12, seed=0, method="ward"):
    return linkage(np.random.default_rng(seed).normal(size=(n, 5)), method)


def caterpillar(n):
    """A tree of n leaves that is as deep as it can be."""
    Z = np.zeros((n - 1, 4))
    Z[:, 0] = np.arange(1, n)
    Z[:, 1] = np.arange(n - 1, 2 * n - 2)
    Z[0, :2] = 0, 1
    Z[:, 2] = 1 + np.arange(n - 1) / n
    Z[:, 3] = np.arange(2, n + 1)
    return Z


def node(number, parent, size=1, name=None, height=None, place=None, **more):
    return {"model": "m", "node": number, "parent": parent, "size": size, "name": name,
            "height": height, "place": number if place is None else place, **more}  # fmt: skip


def written(rows, format):
    out = io.StringIO()
    write_tree(relation(rows), format, out)
    assert not out.closed
    return out.getvalue()


def read_back(text):
    return skbio.TreeNode.read(io.StringIO(text))


def distances(tree, labels):
    return tree.cophenet().filter(labels).data


@pytest.mark.parametrize("method", ["ward", "average", "single", "centroid", "median"])
def test_newick_keeps_every_distance(method):
    Z = ward(40, method=method)
    rows = rows_of(Z)
    assert method != "centroid" or np.any(np.diff(Z[:, 2]) < 0)
    tree = read_back(written(rows, "newick"))
    expected = squareform(cophenet(Z))
    found = distances(tree, [f"class {i}" for i in range(40)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_branches_are_negative_where_heights_are_not_monotone():
    rows = [node(4, None, 3, height=1.0), node(3, 4, 2, height=1.5, place=0), node(0, 3, name="a"),
            node(1, 3, name="b"), node(2, 4, name="c")]  # fmt: skip
    assert written(rows, "newick") == "((a:0.75,b:0.75):-0.25,c:0.5);\n"


def test_tips_stand_in_leaf_order_whatever_the_rows_order():
    Z = ward()
    order = leaves_list(Z)
    rows = rows_of(Z)
    text = written(rows, "newick")
    assert [tip.name for tip in read_back(text).tips()] == [f"class {i}" for i in order]
    assert written(rows[::-1], "newick") == text


def test_lengths_have_all_their_digits():
    rows = [node(2, None, 2, height=0.1 + 0.2), node(0, 2, name="a"), node(1, 2, name="b")]
    assert written(rows, "newick") == "(a:0.15000000000000002,b:0.15000000000000002);\n"


def test_inner_labels_are_support_else_models_else_nothing():
    Z = np.array([[0, 1, 1, 2], [2, 4, 2, 3], [3, 5, 3, 4]], dtype=float)
    for shares, expected in (
        ({"support": 0.984, "models": 0.2}, "98"),
        ({"models": 1 / 3}, "33"),
        ({}, ""),
        ({"support": 0.0, "models": 1.0}, "0"),
    ):
        rows = rows_of(Z)
        rows[5] |= {"name": "bird", **shares}
        text = written(rows, "newick")
        assert [name or "" for name in re.findall(r"\)(\w*)", text)] == ["", expected, ""]


def test_two_leaves_of_one_label_get_their_concepts():
    labels = ["crane", "tench", "crane", "crane (n0002)", ""]
    names = {tip.name for tip in read_back(written(rows_of(ward(5), labels), "newick")).tips()}
    assert {"crane (n0000)", "tench", "n0004"} < names
    assert len(names) == 5


def test_labels_and_concepts_all_alike_still_differ():
    rows = [node(3, None, 3, height=1.0), *(node(i, 3, name="a", concept="c") for i in range(3))]
    assert len({tip.name for tip in read_back(written(rows, "newick")).tips()}) == 3


def test_a_collapsed_tip_says_how_many_it_stands_for():
    rows = [
        node(9, None, 1300, height=3.0),
        node(5, 9, 1200, height=2.0, place=0, name="dog"),
        node(6, 9, 50, height=1.0, place=1),
        node(7, 9, 25, height=1.0, place=2, name="cat"),
        node(8, 9, 25, height=1.5, place=3, name="cat"),
    ]
    assert written(rows, "newick") == (
        "('dog (1,200)':0.5,'clade 6 (50)':1.0,'cat (25) (clade 7)':1.0,'cat (25) (clade 8)':0.75);\n"
    )


def test_a_tree_without_heights_has_no_lengths():
    rows = [node(3, None, 3), *(node(i, 3, name=name) for i, name in enumerate("abc"))]
    assert written(rows, "newick") == "(a,b,c);\n"
    assert "[&R] (1,2,3);" in written(rows, "nexus")
    assert {tuple(edge[2]) for edge in graph_of(written(rows, "graphml")).edges(data=True)} == {()}


def test_a_single_leaf_is_a_tree():
    assert written([node(7, None, name="sea snake")], "newick") == "'sea snake';\n"


# what no file of lines can hold
EXPECTED = dict.fromkeys(map(chr, (*range(32), *range(127, 160), 0x2028, 0x2029)), " ")
ODD_LABELS = [
    "it's", "'", "sea snake", "a  b", "x_y", "(p,q)", "[c]", "a:b;c", '"dq"', " lead", "tab\there",
    "a\r\nb", "螃蟹 é", "back\\slash", "123", "1e5", "", "   ", ",", "(", "):", "[open", "END;",
    "plain", "\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("label", ODD_LABELS)
def test_an_odd_label_is_read_back(label):
    check_labels([label, "other"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=2, max_size=4)
)
def test_any_label_is_read_back(labels):
    check_labels(labels)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text("' _(),:;[]\"\ta", max_size=6), min_size=2, max_size=4))
def test_labels_of_syntax_are_read_back(labels):
    check_labels(labels)


def check_labels(labels):
    rows = [
        node(100, None, len(labels), height=1.0),
        *(node(i, 100, name=name, concept=f"n{i}") for i, name in enumerate(labels)),
    ]
    text = written(rows, "newick")
    assert text.count("\n") == 1
    assert not set(text) & (set(EXPECTED) - {"\n", "'"})
    names = [tip.name for tip in read_back(text).tips()]
    spelled = ["".join(EXPECTED.get(c, c) for c in label) for label in labels]
    spelled = [name if name.strip() else f"n{i}" for i, name in enumerate(spelled)]
    # what scikit-bio takes for syntax even in quotes
    spelled = [name if name.strip("(),:;'") else f"{name} (n{i})" for i, name in enumerate(spelled)]
    assert len(set(names)) == len(names) == len(labels)
    for i, (name, expected) in enumerate(zip(names, spelled, strict=True)):
        assert name in {expected, f"{expected} (n{i})", f"{expected} (n{i}) (node {i})"}
        if len(set(spelled)) == len(spelled):
            assert name == expected


def test_each_model_has_a_line_of_newick_and_a_tree_of_nexus():
    rows = rows_of(ward(5, 1), model="b") + rows_of(ward(5, 2), model="a's [x]; y")
    lines = written(rows, "newick").splitlines()
    for line, seed in zip(lines, (1, 2), strict=True):
        found = distances(read_back(line), [f"class {i}" for i in range(5)])
        np.testing.assert_allclose(found, squareform(cophenet(ward(5, seed))), atol=1e-12)
    nexus = written(rows, "nexus")
    assert re.findall(r"\tTREE (.*) = \[&R\] ", nexus) == ["b", "'a’s (x), y'"]
    assert nexus.count("TRANSLATE") == 1


def nexus_trees(text):
    """The trees of a Nexus file as scikit-bio has them, tips called as TRANSLATE has it."""
    translate = dict(re.findall(r"^\t\t(\d+) '?(.*?)'?,?$", text, re.MULTILINE))
    trees = []
    for newick in re.findall(r"\[&R\] (.*)", text):
        trees.append(read_back(newick))
        for tip in trees[-1].tips():
            tip.name = translate.get(tip.name, tip.name)
    return trees


def test_nexus_numbers_the_tips_of_all_trees_alike():
    seeds = (1, 2, 3)
    text = written([row for s in seeds for row in rows_of(ward(9, s), model=f"m{s}")], "nexus")
    assert text.startswith("#NEXUS\n")
    assert "NTAX=9;" in text
    for tree, seed in zip(nexus_trees(text), seeds, strict=True):
        found = distances(tree, [f"class {i}" for i in range(9)])
        np.testing.assert_allclose(found, squareform(cophenet(ward(9, seed))), atol=1e-12)


def test_nexus_trees_of_different_tips_name_them():
    """Ape would give all of a translated file's trees the same tips."""
    rows = rows_of(ward(4), model="a") + rows_of(ward(5), ["1", "2", "p (q)", "class 3", "x"], "b")
    text = written(rows, "nexus")
    assert "TRANSLATE" not in text
    assert "NTAX=8;" in text
    first, second = nexus_trees(text)
    assert {tip.name for tip in first.tips()} == {f"class {i}" for i in range(4)}
    assert {tip.name for tip in second.tips()} == {"1", "2", "p -q-", "class 3", "x"}
    assert "'1':" in text
    text = written(rows_of(ward(3), ["Crane", "crane", "x"]) + rows_of(ward(4), model="b"), "nexus")
    assert "Crane_-n0000-:" in text
    assert "crane_-n0001-:" in text


def test_nexus_tells_labels_apart_that_differ_in_case_only():
    text = written(rows_of(ward(3), ["Crane", "crane", "tench"]), "nexus")
    assert "'Crane (n0000)'" in text
    assert "'crane (n0001)'" in text
    assert "n0000" not in written(rows_of(ward(3), ["Crane", "crane", "tench"]), "newick")


def graph_of(text):
    return nx.read_graphml(io.BytesIO(text.encode()), node_type=int)


def tree_with_everything():
    rows = rows_of(ward(4), ["a\x00b\ufffe", "é & <c>", "'d\"", "e\te"],
                   support=lambda n: n / 10, models=lambda n: 0.5, nearly=lambda n: 0.25)  # fmt: skip
    rows[5] |= {"name": "dog", "f1": 0.75}
    return rows


@pytest.mark.parametrize("format", ["graphml", "node-link"])
def test_graphs_are_read_back_by_networkx(format):
    rows = tree_with_everything()
    text = written(rows, format)
    if format == "graphml":
        graph = graph_of(text)
        a, e = "a b ", "e e"  # XML has no such characters
    else:
        graph = nx.node_link_graph(json.loads(text), edges="edges")
        a, e = "a\x00b\ufffe", "e\te"
    assert graph.is_directed()
    assert nx.is_arborescence(graph)
    assert graph.graph["name"] == "m"
    nodes = {row["node"]: row for row in rows}
    assert set(graph) == set(nodes)
    for above, below, data in graph.edges(data=True):
        assert nodes[below]["parent"] == above
        assert data == {"length": (nodes[above]["height"] - nodes[below]["height"]) / 2}
    assert [graph.nodes[i]["label"] for i in range(4)] == [a, "é & <c>", "'d\"", e]
    for number, row in nodes.items():
        known = ("size", "place", "height", "concept", "f1", "support", "models", "nearly")
        expected = {key: row[key] for key in known if row.get(key) is not None}
        label = {"label": graph.nodes[number]["label"]} if number < 4 else {}
        label |= {"label": "dog"} if number == 5 else {}
        assert graph.nodes[number] == expected | label


@pytest.mark.parametrize("format", ["graphml", "node-link"])
def test_a_graph_holds_one_model(format):
    rows = rows_of(ward(3), model="a") + rows_of(ward(3), model="b")
    with pytest.raises(ArgumentError, match=f"{format} holds the tree of one model, not of 2"):
        written(rows, format)


@pytest.mark.parametrize("format", TREE_FORMATS)
def test_what_is_no_tree_is_refused(format):
    with pytest.raises(ArgumentError, match="no tree to write"):
        written([], format)
    for rows, problem in (
        ([node(1, None, 1, "a"), node(2, None, 1, "b")], "2 nodes have no parent"),
        ([node(1, 2, 1, "a"), node(2, 1, 1, "b")], "0 nodes have no parent"),
        ([node(1, None, 1, "a"), node(2, 9, 1, "b")], "not all hang on the root"),
        ([node(1, None, 1, "a"), node(2, 3, 2), node(3, 2, 2)], "not all hang on the root"),
        ([node(1, None, 1, "a"), node(2, 1, 1), node(2, 3, 2), node(3, 2)], "not all hang"),
    ):
        with pytest.raises(ArgumentError, match=problem):
            written(rows, format)


@pytest.mark.parametrize("format", ["newick", "graphml"])
def test_no_tree_is_too_deep(format):
    n = DEEP if format == "newick" else 1_200
    rows = rows_of(caterpillar(n), order=np.arange(n)[::-1])
    text = written(rows, format)
    if format == "newick":
        assert text.count("(") == n - 1
        assert text.count("class ") == n
    else:
        assert nx.dag_longest_path_length(graph_of(text), weight=None) == n - 1


def test_endings_name_the_formats_and_json_stays_rows():
    assert set(TREE_ENDINGS.values()) == set(TREE_FORMATS) - {"node-link"}
    assert set(TREE_ENDINGS) == {".nwk", ".newick", ".tree", ".nex", ".nexus", ".graphml"}


def test_a_tree_of_arrays_in_any_order():
    parents, lengths = np.array([2, 3, -1, 2, 3]), np.array([1.5, 2.0, 9.0, np.nan, -1.0])
    tree = tree_node(parents, lengths, ["a", "b", "root", None, "c"])
    assert str(tree) == "(a:1.5,(b:2.0,c:-1.0))root;\n"
    assert str(tree_node([-1, 0], None, [None, "a"])) == "(a);\n"
    assert tree.find("b").distance(tree.find("c")) == 1.0


@pytest.mark.parametrize(
    ("parents", "names", "problem"),
    [
        ([-1, -1], ["a", "b"], "one root, not 2"),
        ([1, 0], ["a", "b"], "one root, not 0"),
        ([-1, 5], ["a", "b"], "no node of the tree"),
        ([-1, -2], ["a", "b"], "no node of the tree"),
        ([-1, 2, 1], ["a", "b", "c"], "don't hang on the root"),
        ([-1, 0], ["a"], "not as many"),
    ],
)
def test_arrays_that_are_no_tree(parents, names, problem):
    with pytest.raises(ValueError, match=problem):
        tree_node(parents, None, names)


R = r"""
library(ape)
say <- function(tree) {
  d <- cophenetic(tree)
  labels <- gsub("^'|'$", "", rownames(d))
  cat(length(labels), "\n")
  writeLines(labels)
  cat(formatC(d, digits = 17, format = "g"), "\n")
  cat(ifelse(tree$node.label == "", "-", tree$node.label), "\n")
}
for (file in commandArgs(TRUE)) {
  nexus <- grepl("nexus$", file)
  trees <- if (nexus) read.nexus(file, force.multi = TRUE) else read.tree(file, keep.multi = TRUE)
  cat("FILE", length(trees), "\n")
  for (i in seq_along(trees)) say(trees[[i]])
}
"""


def test_ape_reads_what_we_write(tmp_path):
    r = shutil.which("Rscript")
    if r is None:
        pytest.skip("needs R: no Rscript is installed")
    # without what ape drops from any name: apostrophes, and in Nexus commas and semicolons
    labels = ["it´s", "sea snake", "a  b", "x_y", "p (q)", "[c]", "a:b", " lead", "螃蟹 é", "123",
              "crane", "crane", "plain", "\\"]  # fmt: skip
    n = len(labels)
    files = {
        "labels.newick": rows_of(ward(n), labels, support=lambda v: 0.5 + v / 100),
        "labels.nexus": rows_of(ward(n), labels, support=lambda v: 0.5 + v / 100),
        "all.newick": rows_of(ward(4), ["a,b", "c;d", "(e", "f)"]),
        "two.nexus": rows_of(ward(9, 1), model="a b") + rows_of(ward(9, 2), model="b"),
        "different.nexus": rows_of(ward(4, 1)) + rows_of(ward(5, 2), model="b"),
    }
    for name, rows in files.items():
        (tmp_path / name).write_text(written(rows, name.rpartition(".")[2]), encoding="utf-8")
    (tmp_path / "read.R").write_text(R, encoding="utf-8")
    done = subprocess.run(
        [r, "--vanilla", "read.R", *files],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if "no package called" in done.stderr:
        pytest.skip("needs R's package ape, which is not installed")
    assert done.returncode == 0, done.stderr
    lines = iter(done.stdout.split("\n"))
    found = {}
    for name in files:
        (count,) = re.fullmatch(r"FILE (\d+) ", next(lines)).groups()
        found[name] = []
        for _ in range(int(count)):
            m = int(next(lines))
            tips = [next(lines) for _ in range(m)]
            d = np.array([float(x) for x in next(lines).split()]).reshape(m, m)
            found[name].append((tips, d, next(lines).split()))

    def check(tree, Z, expected, inner=None):
        tips, d, labels_of_inner = tree
        assert sorted(tips) == sorted(expected)
        place = [tips.index(name) for name in expected]
        np.testing.assert_allclose(d[np.ix_(place, place)], squareform(cophenet(Z)), atol=1e-9)
        if inner is not None:
            assert sorted(labels_of_inner) == sorted(inner)

    named = [*labels[:10], "crane (n0010)", "crane (n0011)", *labels[12:]]
    inner = [f"{50 + v}" for v in range(n, 2 * n - 1)]
    check(found["labels.newick"][0], ward(n), named, inner)
    named[5] = "(c)"
    check(found["labels.nexus"][0], ward(n), named, inner)
    check(found["all.newick"][0], ward(4), ["a,b", "c;d", "(e", "f)"])
    for tree, seed in zip(found["two.nexus"], (1, 2), strict=True):
        check(tree, ward(9, seed), [f"class {i}" for i in range(9)])
    for tree, size, seed in zip(found["different.nexus"], (4, 5), (1, 2), strict=True):
        check(tree, ward(size, seed), [f"class_{i}" for i in range(size)])
