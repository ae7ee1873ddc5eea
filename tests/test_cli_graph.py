"""`classrel cluster --by graph` and `tree --by graph`: what a user types, sees and is told."""

from __future__ import annotations

import csv
import json
import re
import sys

import pytest
from agreeing import add, dicts, made
from oracle import assert_refused, json_of

import classrel_db
from classrel_db.catalog import forest
from classrel_db.cli import trees
from classrel_db.errors import ClassrelWarning

C = [f"c{i:02d}" for i in range(24)]
ALPHA = made("alpha", C, dim=9, seed=1, noise=0.3)
NOTE = (
    "communities of the graph of mutual {k} nearest neighbours (Leiden, resolution {r}, seed {s})"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A small head, which no question about its graph writes to."""
    folder = tmp_path_factory.mktemp("cli-graph")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA)
    return folder / "small.duckdb"


@pytest.fixture
def ask(classrel, path):
    before = path.read_bytes()
    yield lambda command, *more: classrel(*command.split(), *more, "--db", path)
    assert path.read_bytes() == before


QUESTIONS = {
    "cluster alpha --by graph": lambda c: c.cluster("alpha", by="graph"),
    "cluster alpha --resolution 6 --neighbors 5 --seed 2": lambda c: c.cluster(
        "alpha", by="graph", resolution=6, neighbors=5, seed=2
    ),
    "tree alpha --by graph --seed 1": lambda c: c.tree("alpha", by="graph", seed=1),
    "tree alpha --resolution 9 -k 3 --method average": lambda c: c.tree(
        "alpha", resolution=9, k=3, method="average"
    ),
    "tree alpha --by graph --around c05 -k 6": lambda c: c.tree(
        "alpha", by="graph", around="c05", k=6
    ),
}


@pytest.mark.parametrize("command", QUESTIONS)
def test_the_rows_are_what_python_answers_and_a_note_says_what_they_are(ask, path, command):
    with classrel_db.open(path) as catalog, pytest.warns(ClassrelWarning) as caught:
        expected = dicts(QUESTIONS[command](catalog))
    answer = ask(command, "-f", "json")
    assert json_of(answer) == json.loads(json.dumps(expected))
    assert f"note: {caught[0].message}\n" in answer.stderr
    rows = list(csv.DictReader(ask(command, "-f", "csv").stdout.splitlines()))
    assert [row["model"] for row in rows] == ["alpha"] * len(expected)


def test_a_table_has_a_line_a_cluster(ask):
    answer = ask("cluster alpha --by graph --neighbors 4")
    assert answer.returncode == 0
    assert answer.stdout.startswith("alpha: ")
    first = answer.stdout.splitlines()[0]
    count = int(first.split()[1])
    assert first == f"alpha: {count} clusters"
    for i in range(24):
        assert f"the c{i:02d}" in answer.stdout
    note, told = answer.stderr.splitlines()
    assert note.startswith("note: alpha: " + NOTE.format(k=4, r=1, s=0))
    assert told == "Leiden communities, named by wordnet"


def test_a_table_has_the_largest_clusters_and_a_file_all(ask, monkeypatch, tmp_path):
    monkeypatch.setattr(trees, "_MOST_DRAWN", 2)
    command = "cluster alpha --by graph --resolution 9"
    whole = list(csv.DictReader(ask(command, "-f", "csv").stdout.splitlines()))
    count = max(int(row["cluster"]) for row in whole)
    assert count > 2
    assert len(whole) == 24
    answer = ask(command)
    assert re.findall(r"^ +([0-9]+)  the ", answer.stdout, re.MULTILINE) == ["1", "2"]
    assert f"the 2 largest of {count} clusters; --format csv has all of them\n" in answer.stderr
    answer = ask(command, "--output", tmp_path / "clusters.csv")
    assert len((tmp_path / "clusters.csv").read_text().splitlines()) == 25
    assert "largest of" not in answer.stderr
    # those of a tree are all drawn
    assert "largest of" not in ask("cluster alpha --by graph -f json").stderr


def test_a_drawing_has_clusters_for_leaves(ask):
    answer = ask("tree alpha --by graph")
    assert "alpha: clade " in answer.stdout.splitlines()[0]
    assert ", 24 classes" in answer.stdout.splitlines()[0]
    rows = json_of(ask("tree alpha --by graph -f json"))
    leaves = [row for row in rows if row["left_node"] is None]
    for leaf in leaves:
        text = leaf["name"] if leaf["size"] == 1 else f"{leaf['name']} ({leaf['size']})"
        assert text in answer.stdout
    assert "note: alpha: leaves are communities" in answer.stderr
    newick = ask("tree alpha --by graph -f newick").stdout
    assert newick.count(",") == len(leaves) - 1


def test_beyond_the_reach_of_a_tree_it_is_the_graph_unasked(ask, monkeypatch):
    monkeypatch.setattr(forest, "MOST_LINKED", 20)
    why = "note: alpha: a tree of 24 classes is not made unasked (--by tree asks for it); "
    answer = ask("cluster alpha")
    assert answer.returncode == 0
    assert answer.stderr.startswith(why + NOTE.format(k=10, r=1, s=0))
    assert ask("tree alpha").stderr.startswith(why + "leaves are")
    assert ask("tree alpha --around c05").stderr.startswith(why + "this is the tree of the c05")


def test_a_tree_is_made_where_it_is_asked_for(classrel, path, tmp_path, monkeypatch):
    monkeypatch.setattr(forest, "MOST_LINKED", 20)
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(path.read_bytes())
    answer = classrel("cluster", "alpha", "--by", "tree", "--db", copy)
    assert answer.stderr == "ward linkage of chord distances, named by wordnet\n"
    answer = classrel("tree", "alpha", "--db", copy)  # it is known now
    assert answer.stderr == "ward linkage of chord distances\n"


WRONG = {
    "cluster alpha --by graph -k 3": "k is of a tree",
    "cluster alpha --by graph --height 1": "height is of a tree",
    "cluster alpha --by graph --method single": "method is of a tree",
    "cluster alpha --by tree --resolution 2": "resolution is of the neighbour graph",
    "cluster alpha --resolution 0": "resolution is 0.0",
    "cluster alpha --resolution nan": "resolution is nan",
    "cluster alpha --neighbors 0": "neighbors is 0",
    "cluster alpha --neighbors 101": "neighbors is 101",
    "cluster alpha --by graph --seed -1": "seed is -1",
    "cluster alpah --by graph": 'did you mean "alpha"',
    "tree alpha --by graph --support": "support is of a tree",
    "tree alpha --by graph --across": "across is of a tree",
    "tree alpha --resolution 2 --around c05": "resolution is for clusters",
    "tree alpha --by graph --around c05 -k 25": "24 classes of alpha",
    "tree alpha --by graph --around nosuch": "nosuch",
}


@pytest.mark.parametrize("command", WRONG)
def test_what_cannot_be_answered_is_one_line(ask, command):
    assert_refused(ask(command), WRONG[command])


def test_without_igraph_the_extra_is_named(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    assert_refused(ask("cluster alpha --by graph"), 'pip install "classrel-db[graph]" brings it')


@pytest.mark.parametrize(
    "command",
    [
        "cluster alpha --by leiden", "cluster alpha --by tree --seed 1", "cluster alpha --resolution fine",
        "cluster alpha --neighbors few", "tree alpha --seed 1", "tree alpha --by tree --seed 1",
        "tree alpha --by graph --resamples 5", "tree alpha --by",
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(ask, command):
    answer = ask(command)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Usage: " in answer.stderr
