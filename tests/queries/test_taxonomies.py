"""What stands above and below a taxon, and whether a head knows: against loops over sets of edges."""

from __future__ import annotations

import csv
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from graphlib import TopologicalSorter
from importlib import resources
from typing import TYPE_CHECKING

import duckdb
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import REAL

from .conftest import small
from .naive import Library, assert_rows, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Taxonomy:
    """Taxa with their parents, and which of them a concept names."""

    name: str
    parents: dict[str, list[str]]
    labels: dict[str, str] = field(default_factory=dict)
    ranks: dict[str, str | None] = field(default_factory=dict)
    named: list[tuple[str, str]] = field(default_factory=list)
    depth: dict[str, int] = field(default_factory=dict)
    found: dict[str, dict[str, int]] = field(default_factory=dict)  # above each taxon, once asked

    def __post_init__(self) -> None:
        for taxon in TopologicalSorter(self.parents).static_order():  # parents first
            self.depth[taxon] = 1 + max(
                (self.depth[above] for above in self.parents[taxon]), default=-1
            )

    def up(self, taxon: str) -> dict[str, int]:
        """Every ancestor, itself too, with the edges on the shortest way to it."""
        if taxon not in self.found:
            found: dict[str, int] = {}
            level, distance = {taxon}, 0
            while level:
                found |= dict.fromkeys(level, distance)
                level = {above for t in level for above in self.parents[t]} - {*found}
                distance += 1
            self.found[taxon] = found
        return self.found[taxon]

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        taxa: dict[str, list[str]] = {}
        for name, taxon in self.named:
            taxa.setdefault(name, []).append(taxon)
        return taxa

    def taxa_of(self, concept: str) -> list[str]:
        return self.by_name.get(concept.lower().replace("_", " "), [])


def naive_ancestors(tree: Taxonomy, taxon: str):
    up = tree.up(taxon)
    return [
        {
            "taxonomy": tree.name,
            "taxon": taxon,
            "label": tree.labels[taxon],
            "ancestor": t,
            "ancestor_label": tree.labels[t],
            "rank": tree.ranks.get(t),
            "depth": tree.depth[t],
            "distance": up[t],
        }
        for t in sorted(up, key=lambda t: (up[t], -tree.depth[t], t))
    ]


def naive_lca(tree: Taxonomy, a: str, b: str):
    above_a, above_b = tree.up(a), tree.up(b)
    ways = {t: above_a[t] + above_b[t] for t in above_a if t in above_b}
    lowest = [t for t in ways if not any(t in tree.up(u) for u in ways if u != t)]
    if not ways:
        return []
    lca = min(lowest, key=lambda t: (-tree.depth[t], ways[t], t))
    nodes = {t: 2 * (tree.depth[t] + 1) for t in ways}
    return [
        {
            "taxonomy": tree.name,
            "a": tree.labels[a],
            "b": tree.labels[b],
            "lca": lca,
            "label": tree.labels[lca],
            "rank": tree.ranks.get(lca),
            "depth": tree.depth[lca],
            "distance": ways[lca],
            "path": min(ways.values()),
            "wu_palmer": float(max(Fraction(nodes[t], ways[t] + nodes[t]) for t in ways)),
        }
    ]


def naive_members(library: Library, tree: Taxonomy, taxon: str, model: str | None = None):
    found = []
    for m in library.chosen(model and [model]):
        for i, concept in enumerate(m.concepts):
            ways = [(tree.up(t)[taxon], t) for t in tree.taxa_of(concept) if taxon in tree.up(t)]
            if ways:
                row = {"model": m.name, "class": m.labels[i], "class_idx": i, "concept": concept}
                found.append(row | {"taxon": min(ways)[1], "distance": min(ways)[0]})
    return found


def naive_purity(model, tree: Taxonomy, k: int):
    above = {
        i: {u for t in tree.taxa_of(concept) for u in tree.up(t)}
        for i, concept in enumerate(model.concepts)
        if tree.taxa_of(concept)
    }
    near = {i: [j for j in model.order[i][:100] if j in above][:k] for i in above}
    held = {t: frozenset(i for i in above if t in above[i]) for t in tree.parents}
    found = []
    for taxon, classes in held.items():
        same = [t for t in tree.parents if held[t] == classes]
        lowest = [t for t in same if not any(t in tree.up(u) for u in same if u != t)]
        if not 2 <= len(classes) < len(above):
            continue
        if taxon != min(lowest, key=lambda t: (-tree.depth[t], t)):
            continue
        shares = [
            Fraction(sum(j in classes for j in near[i]), len(near[i])) for i in classes if near[i]
        ]
        purity = sum(shares) / len(shares) if shares else None
        chance = Fraction(len(classes) - 1, len(above) - 1)
        row = {"model": model.name, "taxon": taxon, "label": tree.labels[taxon]}
        row |= {"rank": tree.ranks.get(taxon), "depth": tree.depth[taxon], "classes": len(classes)}
        row |= {"purity": purity, "chance": float(chance), "ratio": None}
        if purity is not None:
            row["ratio"] = float(purity / chance)
        found.append(row)
    found.sort(key=lambda r: (r["purity"] is None, -(r["purity"] or 0), -r["classes"], r["taxon"]))
    return [r | {"purity": None if r["purity"] is None else float(r["purity"])} for r in found]


@pytest.fixture(scope="session")
def wordnet(real_models) -> Taxonomy:
    def rows(name: str) -> Iterator[dict[str, str]]:
        file = resources.files("classrel_db") / "data" / name
        return csv.DictReader(file.read_text(encoding="utf-8").splitlines())

    labels = {row["wnid"]: row["lemmas"].split(";")[0] for row in rows("wordnet_nodes.csv")}
    labels |= dict(zip(real_models[0].concepts, real_models[0].labels, strict=True))
    parents: dict[str, list[str]] = {wnid: [] for wnid in labels}
    for row in rows("wordnet_hypernyms.csv"):
        parents[row["child"]].append(row["parent"])
    return Taxonomy("wordnet", parents, labels, named=[(wnid, wnid) for wnid in parents])


def test_ancestors_in_wordnet(real, wordnet):
    random = np.random.default_rng(1)
    several = [t for t, above in wordnet.parents.items() if len(above) > 1]
    taxa = [*random.choice([*wordnet.parents], 25).tolist(), *random.choice(several, 15).tolist()]
    for taxon in [*taxa, "n02084071"]:
        assert_rows(real.ask(call("ancestors", taxon)), naive_ancestors(wordnet, taxon))


def test_lowest_common_ancestors_in_wordnet(real, wordnet, real_models):
    random = np.random.default_rng(2)
    # of the classes more pairs are close to each other, as neighbours in the list of them are
    concepts = real_models[0].concepts
    pairs = random.choice([*wordnet.parents], (30, 2)).tolist()
    pairs += [(concepts[i], concepts[i + 1 + i % 3]) for i in random.integers(0, 997, 20)]
    pairs += [("n02084071", "n02084071"), ("n02085620", "n02099601"), ("n00001740", "n02084071")]
    for a, b in pairs:
        assert_rows(real.ask(call("lca", a, b)), naive_lca(wordnet, a, b))


def test_a_dog_is_deeper_than_a_canine_though_the_shortest_way_to_it_is_shorter(real, wordnet):
    up = wordnet.up("n02084071"), wordnet.up("n02083346")
    assert up[0]["n00001740"] < up[1]["n00001740"]
    assert wordnet.depth["n02084071"] == wordnet.depth["n02083346"] + 1
    assert "n02083346" in wordnet.parents["n02084071"]
    (row,) = real.ask("lca('Chihuahua', 'golden retriever')")
    assert (row["lca"], row["label"]) == ("n02084071", "dog")


@pytest.mark.parametrize("taxon", ["n00001740", "n02084071", "n01976957", "n01978287", "n00002137"])
def test_clades_of_wordnet(real, wordnet, taxon):
    for model in (None, REAL[1]):
        found = real.ask(call("clade_members", taxon, model=model))
        assert_rows(found, naive_members(real, wordnet, taxon, model))
    assert len(found) == {"n00001740": 1000, "n02084071": 118}.get(taxon, len(found))


@pytest.mark.parametrize(("name", "k"), [(REAL[0], 10), (REAL[2], 1), (REAL[1], 100)])
def test_purity_of_real_heads(real, wordnet, name, k):
    found = real.ask(call("taxon_purity", name, k=k))
    assert_rows(found, naive_purity(real[name], wordnet, k))
    assert len(found) > 300


def test_ten_neighbors_are_shared_when_no_number_is_asked_for(real):
    default = real.ask(f"taxon_purity('{REAL[0]}')")
    assert_rows(default, real.ask(f"taxon_purity('{REAL[0]}', k := 10)"))
    assert default != real.ask(f"taxon_purity('{REAL[0]}', k := 9)")


@pytest.mark.parametrize("k", [0, -1, 101, "NULL"])
def test_purity_has_no_answer_beyond_the_stored_neighbors(real, k):
    assert f"k is {k}; it is from 1 to 100" in real.refused(f"taxon_purity('{REAL[0]}', k := {k})")


@pytest.mark.parametrize(
    "query",
    [
        "ancestors('nobody')",
        "ancestors(NULL)",
        "ancestors('tench', taxonomy := 'nothing')",
        "lca('nobody', 'tench')",
        "lca('tench', 'nobody')",
        "clade_members('nobody')",
        "clade_members('crab', model := 'nobody')",
        "taxon_purity('nobody')",
        f"taxon_purity('{REAL[0]}', taxonomy := 'nothing')",
    ],
)
def test_what_is_not_there_has_no_rows(real, query):
    assert real.ask(query) == []


@pytest.mark.parametrize(
    "query", ["ancestors('SCREEN')", "lca('screen', 'tench')", "lca('tench', 'screen')"]
)
def test_a_name_of_several_taxa_is_refused(real, query):
    assert "names several taxa of wordnet, such as n" in real.refused(query)
    assert "; give the key" in real.refused(query)


@pytest.fixture(scope="module")
def tiny(library: Callable[..., Library], tmp_path_factory) -> Iterator[Library]:
    """Small heads, in a file whose taxonomies may be written; their concepts are spelled in all ways."""
    one = [f"C_{i:02d}" for i in range(9)]
    two = [*(f"c {i:02d}" for i in (3, 8, 1, 0, 5)), "c_20", "C 02"]
    # too many for all of them to be stored as neighbours
    many = [*(f"x{i:03d}" for i in range(240)), *(f"c_{i:02d}" for i in range(8))]
    built = library(
        small("one", one, seed=11),
        small("two", two, [f"Kind {i}" for i in range(7)], seed=12),
        small("many", many, [f"many {i}" for i in range(248)], seed=13, dim=40),
    )
    path = tmp_path_factory.mktemp("tiny") / "classrel.duckdb"
    shutil.copyfile(built.path, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET threads = 1")
        yield Library(path, built.models, connection)


@contextmanager
def holding(library: Library, *trees: Taxonomy) -> Iterator[None]:
    """Have these taxonomies in the database for a while."""
    c = library.connection
    c.begin()
    try:
        for tree in trees:
            taxa = [
                (tree.name, t, tree.labels[t], tree.ranks.get(t), d) for t, d in tree.depth.items()
            ]
            edges = [(tree.name, t, above) for t in tree.parents for above in tree.parents[t]]
            for table, rows in (
                ("taxa", taxa),
                ("taxon_parents (taxonomy, taxon, parent)", edges),
                ("taxon_names", [(tree.name, *each) for each in tree.named]),
            ):
                if rows:
                    values = ", ".join(f"({', '.join(['?'] * len(row))})" for row in rows)
                    c.execute(f"INSERT INTO {table} VALUES {values}", [x for r in rows for x in r])
        yield
    finally:
        c.rollback()


@st.composite
def taxonomies(draw, most_parents=3):
    """A taxonomy, and another one with the same keys, which should not matter."""
    n = draw(st.integers(2, 14))
    keys = draw(st.permutations([f"t{i:02d}" for i in range(n)]))
    parents: dict[str, list[str]] = {}
    for i, key in enumerate(keys):
        above = keys[:i] if i < 3 else keys[max(0, i - draw(st.integers(1, 8))) : i]
        fewest = 0 if most_parents > 1 and draw(st.integers(0, 9)) == 0 else min(i, 1)
        parents[key] = draw(
            st.lists(st.sampled_from(above), unique=True, min_size=fewest, max_size=most_parents)
            if above
            else st.just([])
        )
    labels = {key: f"taxon {key[1:]}" for key in keys}
    ranks = {key: draw(st.sampled_from([None, "genus", "family"])) for key in keys}
    names = st.sampled_from([f"c {i:02d}" for i in range(12)])
    named = draw(
        st.lists(st.tuples(names, st.sampled_from(keys)), unique=True, min_size=4, max_size=16)
    )
    chain = {key: [keys[i - 1]] if i else [] for i, key in enumerate(keys)}
    others = [(f"c {i:02d}", keys[-1]) for i in range(12)]
    return (
        Taxonomy("own", parents, labels, ranks, named),
        Taxonomy("other", chain, dict.fromkeys(keys, "elsewhere"), named=others),
    )


@settings(max_examples=15)
@given(trees=taxonomies(), data=st.data())
def test_whatever_the_taxonomy_above_and_below_are_as_loops_find_them(tiny, trees, data):
    tree = trees[0]
    taxa = st.sampled_from([*tree.parents])
    with holding(tiny, *trees):
        for _ in range(4):
            a, b = data.draw(taxa), data.draw(taxa)
            found = tiny.ask(call("lca", a, b, taxonomy="own"))
            assert_rows(found, naive_lca(tree, a, b))
        assert_rows(tiny.ask(call("ancestors", a, taxonomy="own")), naive_ancestors(tree, a))
        model = data.draw(st.sampled_from([None, "one", "two", "many"]))
        for taxon in (a, next(t for t, above in tree.parents.items() if not above)):
            found = tiny.ask(call("clade_members", taxon, model=model, taxonomy="own"))
            assert_rows(found, naive_members(tiny, tree, taxon, model))


@pytest.mark.parametrize(
    ("a", "b", "lca", "distance", "path"),
    [
        ("a", "b", "c2", 2, 2),  # c1 is as deep and farther
        ("d", "b", "c1", 2, 2),  # c2 is as deep and as near
        ("f", "g", "c3", 3, 2),  # c2 is nearer, but not as deep
        ("a", "c1", "c1", 2, 2),
        ("a", "s", None, None, None),
    ],
)
def test_of_several_lowest_ancestors_the_deepest_is_chosen_then_the_nearest(
    tiny, a, b, lca, distance, path
):
    parents = {"r": [], "s": [], "c1": ["r"], "c2": ["r"], "c3": ["c1"], "x": ["c1"], "z": ["c3"]}
    parents |= {"a": ["c2", "x"], "b": ["c1", "c2"], "d": ["c1", "c2"]}
    parents |= {"f": ["c2", "z"], "g": ["c2", "c3"]}
    tree = Taxonomy("own", parents, {t: f"taxon {t}" for t in parents})
    other = Taxonomy("other", {"c1": ["c2"], "c2": ["c3"], "c3": []}, dict.fromkeys(parents, "?"))
    with holding(tiny, tree, other):
        found = tiny.ask(call("lca", a, b, taxonomy="own"))
        assert_rows(found, naive_lca(tree, a, b))
        assert [(r["lca"], r["distance"], r["path"]) for r in found] == (
            [(lca, distance, path)] if lca else []
        )


def test_more_ways_up_than_can_be_counted_are_no_hindrance(tiny):
    levels = [(f"l{i:02d}", f"r{i:02d}") for i in range(50)]
    parents = {t: [*levels[i - 1]] if i else ["top"] for i in range(50) for t in levels[i]}
    parents |= {"top": []}
    named = [("c 00", "l49"), ("c 01", "r49"), ("c 02", "l48"), ("c 03", "l00")]
    tree = Taxonomy("own", parents, {t: f"taxon {t}" for t in parents}, named=named)
    with holding(tiny, tree):
        found = tiny.ask("ancestors('l49', taxonomy := 'own')")
        assert_rows(found, naive_ancestors(tree, "l49"))
        found = tiny.ask("clade_members('top', taxonomy := 'own')")
        assert_rows(found, naive_members(tiny, tree, "top"))
        found = tiny.ask("taxon_purity('one', k := 2, taxonomy := 'own')")
        assert_rows(found, naive_purity(tiny["one"], tree, 2))


@settings(max_examples=15)
@given(trees=taxonomies(), k=st.integers(1, 9))
def test_whatever_the_taxonomy_purity_is_as_loops_find_it(tiny, trees, k):
    with holding(tiny, *trees):
        for name in ("one", "two", "many"):
            found = tiny.ask(call("taxon_purity", name, k=k, taxonomy="own"))
            assert_rows(found, naive_purity(tiny[name], trees[0], k))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_taxa_with_the_same_classes_are_there_once(tiny, k):
    parents = {"r": []} | {f"c{i}": ["r"] for i in range(9)}
    # the lowest stands under r itself too, so that it is not the deepest
    parents |= {"u1": ["r"], "u2": ["u1"], "u3": ["u2"], "v": ["u3", "r"]}
    parents |= {"c0": ["v"], "c1": ["v"]}
    # neither of g1 and g2 stands below the other; g2 is deeper
    parents |= {"g1": ["r"], "q": ["r"], "g2": ["q"], "c4": ["q"]}
    parents |= {"c2": ["g1", "g2"], "c3": ["g1", "g2"]}
    # h1 and h2 are as deep
    parents |= {"h1": ["r"], "h2": ["r"], "c5": ["h1", "h2"], "c6": ["h1", "h2"]}
    named = [(f"c {i:02d}", f"c{i}") for i in range(9)]
    tree = Taxonomy("own", parents, {t: f"taxon {t}" for t in parents}, named=named)
    other = Taxonomy("other", {"v": [], "h1": ["v"], "g2": ["h1"]}, dict.fromkeys(parents, "?"))
    with holding(tiny, tree, other):
        found = tiny.ask(call("taxon_purity", "one", k=k, taxonomy="own"))
        assert {row["taxon"] for row in found} == {"v", "g2", "q", "h1"}
        assert_rows(found, naive_purity(tiny["one"], tree, k))


def test_a_class_without_stored_neighbors_that_are_taxa_is_left_out_of_the_mean(tiny):
    order = tiny["many"].order
    # three of which none stores another
    stored = [{i, *each[:100]} for i, each in enumerate(order)]
    far = next((0, j) for j in range(248) if j not in stored[0] and 0 not in stored[j])
    third = next(
        i for i in range(248) if not {*far} & stored[i] and not any(i in stored[j] for j in far)
    )
    spelled = [tiny["many"].concepts[i].lower().replace("_", " ") for i in (*far, third)]
    parents = {"t0": [], "t1": ["t0"], "t2": ["t0"]}
    named = list(zip(spelled, ["t1", "t1", "t2"], strict=True))
    tree = Taxonomy("own", parents, dict.fromkeys(parents, "t"), named=named)
    with holding(tiny, tree):
        (row,) = tiny.ask("taxon_purity('many', taxonomy := 'own')")
        assert (row["taxon"], row["classes"], row["purity"], row["ratio"]) == ("t1", 2, None, None)


@settings(max_examples=5)
@given(trees=taxonomies(most_parents=1), data=st.data())
def test_in_a_tree_ways_are_as_networkx_finds_them_and_none_is_shorter_over_a_third(
    tiny, trees, data
):
    tree = trees[0]
    graph = nx.DiGraph((above, t) for t in tree.parents for above in tree.parents[t])
    three = [data.draw(st.sampled_from([*tree.parents])) for _ in range(3)]
    with holding(tiny, *trees):
        rows = {}
        for a, b in [(x, y) for i, x in enumerate(three) for y in three[i:]]:
            (row,) = tiny.ask(call("lca", a, b, taxonomy="own"))
            (back,) = tiny.ask(call("lca", b, a, taxonomy="own"))
            assert back == row | {"a": row["b"], "b": row["a"]}
            assert row["lca"] == nx.lowest_common_ancestor(graph, a, b)
            assert row["path"] == row["distance"]
            assert row["path"] == nx.shortest_path_length(graph.to_undirected(), a, b)
            assert 0 < row["wu_palmer"] <= 1
            assert (row["wu_palmer"] == 1) == (a == b)
            rows[a, b] = rows[b, a] = row["path"]
        a, b, c = three
        assert rows[a, c] <= rows[a, b] + rows[b, c]


@settings(max_examples=8)
@given(trees=taxonomies(), data=st.data())
def test_a_taxon_and_itself_and_one_above_it_have_no_lower_ancestor_in_common(tiny, trees, data):
    tree = trees[0]
    taxon = data.draw(st.sampled_from([*tree.parents]))
    above = data.draw(st.sampled_from([*tree.up(taxon)]))
    with holding(tiny, *trees):
        (row,) = tiny.ask(call("lca", taxon, taxon, taxonomy="own"))
        assert (row["lca"], row["distance"], row["path"], row["wu_palmer"]) == (taxon, 0, 0, 1)
        (row,) = tiny.ask(call("lca", above, taxon, taxonomy="own"))
        assert (row["lca"], row["distance"]) == (above, tree.up(taxon)[above])


NAMES = Taxonomy(
    "own",
    {key: ["7"] if key != "7" else [] for key in ["7", "k1", "k2", "k3", "k4", "k5", "k6"]},
    {
        "7": "k1",
        "k1": "Rose",
        "k2": "rose",
        "k3": "ROSE",
        "k4": "Lily",
        "k5": "kind 3",
        "k6": "LILY",
    },
    named=[
        ("c 00", "k4"),
        ("c 01", "k1"),
        ("c 03", "k1"),
        ("c 08", "k6"),
        ("c 08", "k2"),
        ("c 04", "k1"),
    ],
)

ELSEWHERE = Taxonomy(
    "other",
    {f"k{i}": [f"k{i - 1}"] if i > 1 else [] for i in range(1, 7)},
    {"k1": "k", "k2": "ROSE", "k3": "rose", "k4": "Kind 2", "k5": "Kind 5", "k6": "lily"},
    named=[(f"c {i:02d}", "k2") for i in (0, 1, 3, 4, 20)],
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("'k1'", "k1"),  # a key before a label
        ("7", "7"),
        ("'Rose'", "k1"),  # the very same spelling before another
        ("'rose'", "k2"),
        ("'RO' || 'SE'", "k3"),
        ("'roSE'", None),
        ("'K1'", "7"),
        ("'lily'", None),
        ("'kind 3'", "k5"),  # a taxon's label before a class's
        ("'Kind 3'", "k5"),
        ("'kIND 2'", "k1"),  # class c 01 of the model two
        ("'c 03'", "k1"),
        ("'C_00'", "k4"),
        ("'C_04'", "k1"),
        ("'c_04'", "k1"),
        ("'C_08'", None),
        ("'Kind 1'", None),  # the class c 08
        ("'SPECIES c_01'", "k1"),
        ("'Kind 5'", []),  # a class that is no taxon
        ("'k'", []),
        ("'C_77'", []),
    ],
)
def test_what_a_taxon_is_called(tiny, name, key):
    with holding(tiny, NAMES, ELSEWHERE):
        query = f"ancestors({name}, taxonomy := 'own')"
        if key is None:
            assert "names several taxa of own, such as k" in tiny.refused(query)
        elif key == []:
            assert tiny.ask(query) == []
        else:
            assert tiny.ask(query) == naive_ancestors(NAMES, key)
            (row,) = tiny.ask(f"lca({name}, {name}, taxonomy := 'own')")
            assert row["lca"] == key
            found = tiny.ask(f"clade_members({name}, taxonomy := 'own')")
            assert_rows(found, naive_members(tiny, NAMES, key))


def test_the_view_says_which_class_is_which_taxon(tiny):
    with holding(tiny, NAMES):
        found = tiny.connection.execute(
            "SELECT model, model_id, class_idx, class, concept, taxonomy, taxon FROM class_taxa ORDER BY ALL"
        ).fetchall()
        assert found == sorted(
            (m.name, number, i, m.labels[i], concept, "own", taxon)
            for number, m in enumerate(tiny.models, 1)
            for i, concept in enumerate(m.concepts)
            for taxon in NAMES.taxa_of(concept)
        )
