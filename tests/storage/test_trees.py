"""The tables of trees, clade support and taxonomies, and files that may not be written."""

from __future__ import annotations

import json
import subprocess
import sys

import duckdb
import numpy as np
import pytest
from agreeing import add, made
from scipy.cluster import hierarchy

import classrel_db
from classrel_db.records import CladeSupport, StoredTree, Taxonomy
from classrel_db.storage import read, taxonomies, trees
from classrel_db.storage.database import Database
from classrel_db.storage.transaction import transaction

from .conftest import content_of

C = [f"c{i}" for i in range(5)]
Z = np.array([[0, 3, 0.5, 2], [1, 4, 0.75, 2], [2, 5, 1.0, 3], [6, 7, 2.5, 5]])
ORDER = np.array([1, 4, 2, 0, 3])
FIRSTS = np.array([3, 0, 2, 0])
TREE = StoredTree(1, "ward", "chord", Z, ORDER, "optimal")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.duckdb"
    with classrel_db.open(path) as catalog:
        add(catalog, tmp_path, made("one", C, seed=1), made("two", C, seed=2))
    return path


@pytest.fixture
def database(path):
    opened = Database(path)
    yield opened
    opened.close()


@pytest.fixture
def write(database):
    def of(*changes):
        database.close()
        with database.writer() as connection, transaction(connection):
            for change, *arguments in changes:
                change(connection, *arguments)

    return of


@pytest.fixture
def model(database):
    (one, _) = read.stored_models(database.reader())
    return one


def same(first, second):
    return (
        (first.model_id, first.method, first.distance, first.ordering)
        == (second.model_id, second.method, second.distance, second.ordering)
        and np.array_equal(first.Z, second.Z)
        and np.array_equal(first.order, second.order)
    )


def test_a_tree_comes_back_as_it_was_stored(database, write, model):
    assert trees.stored_tree(database.reader(), model, "ward", "chord") is None
    write((trees.store_tree, TREE, FIRSTS))
    found = trees.stored_tree(database.reader(), model, "ward", "chord")
    assert same(found, TREE)
    assert hierarchy.is_valid_linkage(found.Z)
    assert trees.stored_tree(database.reader(), model, "average", "chord") is None
    assert trees.stored_tree(database.reader(), model, "ward", "profile") is None
    assert database.reader().execute("FROM merges ORDER BY node").fetchall() == [
        (1, "ward", "chord", 5, 0, 3, 0.5, 2, 3), (1, "ward", "chord", 6, 1, 4, 0.75, 2, 0),
        (1, "ward", "chord", 7, 2, 5, 1.0, 3, 2), (1, "ward", "chord", 8, 6, 7, 2.5, 5, 0),
    ]  # fmt: skip
    assert database.reader().execute("SELECT class_idx FROM leaves ORDER BY place").fetchall() == [
        (1,), (4,), (2,), (0,), (3,),
    ]  # fmt: skip


def test_a_tree_takes_the_place_of_its_own_kind_alone(database, write, model):
    others = [
        StoredTree(1, "average", "chord", Z, ORDER, "optimal"),
        StoredTree(1, "ward", "condensed", Z, ORDER, "optimal"),
        StoredTree(2, "ward", "chord", Z, ORDER, "optimal"),
    ]
    first = StoredTree(1, "ward", "chord", Z, ORDER[::-1].copy(), "projection")
    write(*[(trees.store_tree, each, FIRSTS) for each in (first, *others)])
    higher = Z * [1, 1, 2, 1]
    write((trees.store_tree, StoredTree(1, "ward", "chord", higher, ORDER, "optimal"), FIRSTS))
    found = trees.stored_tree(database.reader(), model, "ward", "chord")
    assert found.ordering == "optimal"
    np.testing.assert_array_equal(found.Z, higher)
    for each in others[:2]:
        assert same(trees.stored_tree(database.reader(), model, each.method, each.distance), each)
    counted = {t: len(rows) for t, rows in content_of(database.path).items()}
    assert (counted["trees"], counted["merges"], counted["leaves"]) == (4, 16, 20)


def test_nothing_is_stored_of_a_model_that_is_gone(database, write, path):
    gone = StoredTree(9, "ward", "chord", Z, ORDER, "optimal")
    support = CladeSupport("dimensions", np.array([5]), np.array([0.5]), None, np.array([7]), 0)
    write((trees.store_tree, gone, FIRSTS), (trees.store_support, 9, "ward", "chord", support))
    # nor support of a tree that is not there
    write((trees.store_support, 1, "ward", "chord", support))
    database.close()
    assert not any(content_of(path)[t] for t in ("trees", "merges", "leaves", "clade_support"))


def test_support_comes_back_by_kind_and_takes_its_kinds_place(database, write):
    by_dimensions = CladeSupport(
        "dimensions", np.array([5, 6, 7]), np.array([0.25, 1.0, 0.0]), None, np.array([8, 8, 8]), 3
    )
    by_models = CladeSupport(
        "models",
        np.array([5, 7]),
        np.array([0.5, 1.0]),
        np.array([1.0, 1.0]),
        np.array([2, 1]),
        None,
    )
    write(
        (trees.store_tree, TREE, FIRSTS),
        (trees.store_tree, StoredTree(2, "ward", "chord", Z, ORDER, "optimal"), FIRSTS),
        (trees.store_support, 1, "ward", "chord", by_dimensions),
        (trees.store_support, 1, "ward", "chord", by_models),
    )
    assert trees.stored_support(database.reader(), 2, "ward", "chord") == {}
    assert trees.stored_support(database.reader(), 1, "ward", "profile") == {}

    def check(kind, expected):
        found = trees.stored_support(database.reader(), 1, "ward", "chord")[kind]
        for name in ("nodes", "support", "n"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert (found.kind, found.seed) == (kind, expected.seed)
        assert (found.nearly is None) == (expected.nearly is None)
        if expected.nearly is not None:
            np.testing.assert_array_equal(found.nearly, expected.nearly)

    check("dimensions", by_dimensions)
    check("models", by_models)
    newer = CladeSupport(
        "dimensions", np.array([6]), np.array([0.125]), None, np.array([16]), 2**63 - 1
    )
    write((trees.store_support, 1, "ward", "chord", newer))
    check("dimensions", newer)
    check("models", by_models)
    # a tree in its better order keeps what is known of its clades
    write((trees.store_tree, TREE, FIRSTS))
    check("dimensions", newer)


def test_support_of_no_clade_is_none(database, write):
    empty = CladeSupport(
        "dimensions", np.array([], dtype=int), np.array([]), None, np.array([], dtype=int), 0
    )
    write((trees.store_tree, TREE, FIRSTS), (trees.store_support, 1, "ward", "chord", empty))
    assert trees.stored_support(database.reader(), 1, "ward", "chord") == {}


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM merges WHERE node = 6",
        "DELETE FROM leaves WHERE place = 0",
        "UPDATE leaves SET class_idx = 9 WHERE place = 0",
        "UPDATE merges SET left_node = 7 WHERE node = 7",
        "UPDATE merges SET right_node = 8 WHERE node = 5",
        "UPDATE merges SET left_node = -1 WHERE node = 5",
        "UPDATE merges SET left_node = 1 WHERE node = 5",
    ],
)
def test_what_is_no_tree_of_the_classes_is_refused(database, write, model, change):
    write((trees.store_tree, TREE, FIRSTS), (lambda connection: connection.execute(change),))
    with pytest.raises(ValueError, match="no tree of its classes"):
        trees.stored_tree(database.reader(), model, "ward", "chord")


def test_a_failure_within_the_transaction_keeps_the_old_tree(database, write, model):
    write((trees.store_tree, TREE, FIRSTS))

    def fails(_connection):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(
            (trees.store_tree, StoredTree(1, "ward", "chord", Z * 2, ORDER, "optimal"), FIRSTS),
            (fails,),
        )
    assert same(trees.stored_tree(database.reader(), model, "ward", "chord"), TREE)


# taxonomies

# a diamond, and a taxon that is deep by one way and near by another
NET = Taxonomy(
    "edges", "net.csv", ["top", "a", "b", "x", "c1", "c2"], ["Top", "A", "B", "X", "one", "two"],
    [None, "family", "family", None, "species", "species"],
    ["a", "b", "x", "x", "c1", "c2", "c2"], ["top", "top", "a", "b", "x", "x", "top"],
    [1.0, None, 0.5, 2.0, 1.0, 1.0, 9.0], [("c1", "c1"), ("c2", "c2"), ("uno", "c1")],
)  # fmt: skip


def test_a_taxonomy_is_stored_by_columns(database, write):
    write((taxonomies.store, "net", NET))
    connection = database.reader()
    assert set(taxonomies.names(connection)) == {"wordnet", "net"}
    rows = connection.execute(
        "SELECT * EXCLUDE (taxonomy, depth) FROM taxa WHERE taxonomy = 'net' ORDER BY taxon"
    ).fetchall()
    assert rows == sorted(zip(NET.taxa, NET.labels, NET.ranks, strict=True))
    edges = connection.execute(
        "SELECT * EXCLUDE (taxonomy) FROM taxon_parents WHERE taxonomy = 'net' ORDER BY ALL"
    ).fetchall()
    assert edges == sorted(
        zip(NET.children, NET.parents, NET.lengths, strict=True), key=lambda e: e[:2]
    )
    depths = dict(
        connection.execute("SELECT taxon, depth FROM taxa WHERE taxonomy = 'net'").fetchall()
    )
    # a taxon is deeper than all it stands under
    assert depths == {"top": 0, "a": 1, "b": 1, "x": 2, "c1": 3, "c2": 3}
    listed = [row for row in taxonomies.listing(connection).fetchall() if row[0] == "net"]
    assert [row[:6] for row in listed] == [("net", "edges", 6, 2, 3, "net.csv")]


def test_the_taxa_over_a_models_classes(database, write, tmp_path):
    database.close()
    with classrel_db.open(database.path) as catalog:
        add(catalog, tmp_path, made("net", ["C_1", "UNO", "c2", "top"], seed=3))
        added = catalog.sql("SELECT model_id FROM models WHERE name = 'net'").fetchall()[0][0]
    write((taxonomies.store, "net", NET))
    found = taxonomies.placed(database.reader(), "net", added)
    assert {index: found.taxa[taxon] for index, taxon in found.of_class.items()} == {
        1: "c1",
        2: "c2",
    }
    assert sorted(found.taxa) == ["a", "b", "c1", "c2", "top", "x"]
    parents = {
        taxon: sorted((found.taxa[p], length) for p, length in own)
        for taxon, own in zip(found.taxa, found.parents, strict=True)
    }
    assert parents == {
        "top": [], "a": [("top", 1.0)], "b": [("top", None)], "x": [("a", 0.5), ("b", 2.0)],
        "c1": [("x", 1.0)], "c2": [("top", 9.0), ("x", 1.0)],
    }  # fmt: skip
    place = found.taxa.index("c2")
    assert (found.labels[place], found.ranks[place], found.depths[place]) == ("two", "species", 3)
    empty = taxonomies.placed(database.reader(), "wordnet", added)
    assert (empty.taxa, empty.parents, empty.of_class) == ([], [], {})


def test_storing_again_takes_the_place_and_removing_leaves_nothing(database, write):
    before = content_of(database.path)
    write((taxonomies.store, "net", NET), (taxonomies.store, "other", NET))
    small = Taxonomy(
        "newick", "s.nwk", ["r", "q"], ["r", "q"], [None, None], ["q"], ["r"], [None], [("q", "q")]
    )
    write((taxonomies.store, "net", small))
    database.close()
    rows = content_of(database.path)
    assert len([row for row in rows["taxa"] if row[0] == "net"]) == 2
    assert len([row for row in rows["taxa"] if row[0] == "other"]) == 6
    write((taxonomies.remove, "net"), (taxonomies.remove, "other"))
    database.close()
    assert content_of(database.path) == before


def test_wordnet_in_the_file_is_that_of_the_package(path):
    rows = content_of(path)
    data = read.__file__.rpartition("/storage/")[0] + "/data"
    edges = duckdb.sql(f"SELECT child, parent FROM '{data}/wordnet_hypernyms.csv'").fetchall()
    assert sorted(row[1:3] for row in rows["taxon_parents"]) == sorted(edges)
    labels = dict(duckdb.sql(f"SELECT wnid, label FROM '{data}/imagenet1k_classes.csv'").fetchall())
    found = {row[1]: row[2] for row in rows["taxa"]}
    assert {wnid: found[wnid] for wnid in labels} == labels
    assert found["n00001740"] == "entity"
    depth = {row[1]: row[4] for row in rows["taxa"]}
    assert depth["n00001740"] == 0
    assert all(depth[child] > depth[parent] for child, parent in edges)
    assert all(depth[c] == 1 + max(depth[p] for x, p in edges if x == c) for c, _ in edges[::40])


# files that may not be written


ASKING = """
import json, sys, warnings
import classrel_db
told = []
warnings.showwarning = lambda message, category, *_: told.append((category.__name__, str(message)))
with classrel_db.open(sys.argv[1]) as catalog:
    rows = catalog.tree("one", support=True, resamples=3).fetchall()
    print(json.dumps([rows, told, len(catalog.cluster("two", 2).fetchall())]))
"""


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_read_only_file_gives_the_same_answer_and_says_so(path, bound_by_permissions, folder):
    def ask():
        answer = subprocess.run(
            [sys.executable, "-c", ASKING, str(path)], capture_output=True, text=True,
            preexec_fn=bound_by_permissions,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    before, content = path.read_bytes(), content_of(path)
    path.chmod(0o400)
    if folder:
        path.parent.chmod(0o500)
    try:
        rows, told, classes = ask()
    finally:
        path.parent.chmod(0o700)
    assert classes == 5
    assert [kind for kind, _ in told] == ["ClassrelWarning"] * 2  # one for each question
    assert all("the tree is not kept in the database" in said for _, said in told)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.glob("small.duckdb*")) == ["small.duckdb"]
    path.chmod(0o600)
    again, told, _ = ask()
    assert (again, told) == (rows, [])
    assert content_of(path)["trees"] != content["trees"]
