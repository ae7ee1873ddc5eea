"""Taxonomies in a catalog: kept, matched, and held against models."""

from __future__ import annotations

import csv
import shutil
from importlib import resources
from itertools import combinations

import numpy as np
import pytest
from agreeing import add, dicts, made, normalized
from oracle import REAL, cosine_matrix, nearest
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from scipy.stats import rankdata, spearmanr

import classrel_db
from classrel_db.errors import ArgumentError, TaxonomyError, UnknownModelError
from classrel_db.maths.taxonomic import TAXONOMY_MEASURES

LITE0 = REAL[0]
COMPARED = {
    "model": "VARCHAR", "taxonomy": "VARCHAR", "measure": "VARCHAR", "n": "INTEGER", "estimate": "DOUBLE",
    "low": "DOUBLE", "high": "DOUBLE", "p_value": "DOUBLE", "null_value": "DOUBLE",
    "permutations": "INTEGER", "resamples": "INTEGER", "seed": "BIGINT",
}  # fmt: skip
CLADES = {
    "model": "VARCHAR", "taxonomy": "VARCHAR", "taxon": "VARCHAR", "label": "VARCHAR", "rank": "VARCHAR",
    "depth": "INTEGER", "classes": "INTEGER", "monophyletic": "BOOLEAN", "f1": "DOUBLE", "clade": "INTEGER",
    "smallest": "INTEGER", "missing": "VARCHAR[]", "intruding": "VARCHAR[]",
}  # fmt: skip
PURITY = {
    "model": "VARCHAR", "taxonomy": "VARCHAR", "rank": "VARCHAR", "k": "INTEGER", "n": "INTEGER",
    "groups": "INTEGER", "purity": "DOUBLE", "chance": "DOUBLE", "most": "DOUBLE", "ratio": "DOUBLE",
    "p_value": "DOUBLE",
    "permutations": "INTEGER", "seed": "BIGINT",
}  # fmt: skip
SURPRISES = {
    "model": "VARCHAR", "taxonomy": "VARCHAR", "surprise": "VARCHAR", "rank": "INTEGER",
    "class_a": "VARCHAR", "class_b": "VARCHAR", "cosine": "DOUBLE", "path": "DOUBLE", "common": "VARCHAR",
    "depth": "INTEGER", "cosine_share": "DOUBLE", "path_share": "DOUBLE", "difference": "DOUBLE",
}  # fmt: skip
PLAIN = {"permutations": 0, "resamples": 0}

_data = resources.files("classrel_db") / "data"
CLASSES = list(csv.DictReader((_data / "imagenet1k_classes.csv").read_text().splitlines()))
# crabs and lobsters, dogs, cats, fungi, cars, two that have several parents
PICKED = [118, 119, 120, 122, 151, 152, 207, 281, 282, 291, 991, 992, 994, 436, 511, 609, 0, 950]
IDS = [CLASSES[i]["wnid"] for i in PICKED]
LABELS = [CLASSES[i]["label"] for i in PICKED]
# a model of these and of two classes that are in no taxonomy
_random = np.random.default_rng(3)
_group = [0, 4, 0, 0, 1, 2, 2, 2, 3, 3, 1, 3, 4, 4, 5, 5, 5, 5, 0, 6]
_weight = 1.5 * _random.normal(size=(7, 9))[_group] + _random.normal(size=(20, 9))
WILD = made("wild", [IDS[0], "zz", *IDS[1:9], "yy", *IDS[9:]], weight=_weight,
            labels=[LABELS[0], "no taxon", *LABELS[1:9], "nor this", *LABELS[9:]])  # fmt: skip
FEW = made("few", [*IDS[:3], "aa", "bb"], seed=4)
NONE = made("none", [f"x{i}" for i in range(5)], seed=5)

LINEAGE = """kingdom,order,family,species,concept
Animalia,Carnivora,Felidae,Felis catus,f0
Animalia,Carnivora,Felidae,Panthera leo,f1
Animalia,Carnivora,Canidae,Canis lupus,f2
Animalia,Carnivora,Canidae,Vulpes vulpes,f3
Animalia,Primates,Hominidae,Pan paniscus,f4
Animalia,Primates,Hominidae,Homo sapiens,f5
Plantae,Rosales,Rosaceae,Malus domestica,f6
Plantae,Rosales,Rosaceae,Rosa canina,f7
"""
EDGES = "child,parent,length\na,top,1\nb,top,2.5\nf0,a,1\nf1,a,0.5\nf2,b,1\nf3,b,1\nf4,b,3\n"
NEWICK = "((f0:1,f1:1)ab:1,((f2:1,f3:1)cd:1,f4:2)cde:1)root;"
FS = made("fs", [f"f{i}" for i in range(8)], dim=6, seed=11)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, text in (("lineage.csv", LINEAGE), ("edges.csv", EDGES), ("tree.nwk", NEWICK)):
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def small_path(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("taxonomies")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, WILD, FEW, NONE, FS)
        catalog.add_taxonomy(files / "lineage.csv", "life")
        catalog.add_taxonomy(files / "edges.csv", "ways")
        catalog.add_taxonomy(files / "tree.nwk", "phylo")
    return folder / "small.duckdb"


@pytest.fixture
def path(small_path, tmp_path):
    return shutil.copy(small_path, tmp_path / "small.duckdb")


@pytest.fixture
def own(path):
    with classrel_db.open(path) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def small(small_path):
    with classrel_db.open(small_path) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def real(database, tmp_path_factory):
    copy = tmp_path_factory.mktemp("real-taxonomies") / "classrel.duckdb"
    shutil.copyfile(database, copy)
    with classrel_db.open(copy) as catalog:
        yield catalog


# WordNet, naively


class Graph:
    """Taxa over some classes, walked one edge at a time."""

    def __init__(self, edges):
        self.parents = {}
        for child, parent, length in edges:
            self.parents.setdefault(child, []).append((parent, length))
        self._known = {}

    def above(self, taxon):
        """Each taxon above one: (fewest edges, shortest way)."""
        if taxon not in self._known:
            found = {taxon: (0, 0.0)}
            for parent, length in self.parents.get(taxon, ()):
                for other, (steps, way) in self.above(parent).items():
                    fewer, shorter = found.get(other, (np.inf, np.inf))
                    found[other] = (min(fewer, steps + 1), min(shorter, way + length))
            self._known[taxon] = found
        return self._known[taxon]

    def depth(self, taxon):
        """The most edges up to the top."""
        return max((self.depth(parent) + 1 for parent, _ in self.parents.get(taxon, ())), default=0)

    def pair(self, a, b):
        """(path, Wu-Palmer, depth of the lowest common ancestor)."""
        common = self.above(a).keys() & self.above(b).keys()
        path = min(self.above(a)[t][1] + self.above(b)[t][1] for t in common)
        wu_palmer = max(
            2
            * (self.depth(t) + 1)
            / (self.above(a)[t][0] + self.above(b)[t][0] + 2 * (self.depth(t) + 1))
            for t in common
        )
        return path, wu_palmer, max(self.depth(t) for t in common)

    def members(self, classes):
        found = {}
        for each in classes:
            for taxon in self.above(each):
                found.setdefault(taxon, set()).add(each)
        return found


WORDNET = Graph(
    [
        (row["child"], row["parent"], 1.0)
        for row in csv.DictReader((_data / "wordnet_hypernyms.csv").read_text().splitlines())
    ]
)
WAYS = Graph([("a", "top", 1), ("b", "top", 2.5), ("f0", "a", 1), ("f1", "a", 0.5),
              ("f2", "b", 1), ("f3", "b", 1), ("f4", "b", 3)])  # fmt: skip


def cosines(head, concepts):
    at = head.at(concepts)
    return cosine_matrix(normalized(head.weight))[np.ix_(at, at)]


def clades(head, concepts):
    """The clades of the tree of all classes, of these concepts alone."""
    D = np.sqrt(np.maximum(2 - 2 * cosine_matrix(normalized(head.weight)), 0))
    np.fill_diagonal(D, 0)
    sets = [{c} for c in head.concepts]
    for left, right, *_ in hierarchy.linkage(squareform(D, checks=False), "ward"):
        sets.append(sets[int(left)] | sets[int(right)])
    found = {frozenset(s & set(concepts)) for s in sets}
    return {s for s in found if len(s) > 1}


def naive_measure(measure, head, graph, concepts):
    S = cosines(head, concepts)
    pairs = list(combinations(range(len(concepts)), 2))
    if measure in {"path", "wu-palmer", "lca-depth"}:
        which = ["path", "wu-palmer", "lca-depth"].index(measure)
        sign = -1 if measure == "path" else 1
        values = [sign * graph.pair(concepts[i], concepts[j])[which] for i, j in pairs]
        return spearmanr(values, [S[i, j] for i, j in pairs]).statistic
    if measure == "triplets":
        alike = asked = 0
        for three in combinations(range(len(concepts)), 3):
            two = list(combinations(three, 2))
            depths = [graph.pair(concepts[i], concepts[j])[2] for i, j in two]
            if depths.count(max(depths)) == 1:
                asked += 1
                alike += int(np.argmax(depths)) == int(np.argmax([S[i, j] for i, j in two]))
        return alike / asked
    sets = {frozenset(s) for s in graph.members(concepts).values() if 1 < len(s) < len(concepts)}
    return len(sets & clades(head, concepts)) / len(sets)


# models against taxonomies


@pytest.mark.parametrize("measure", TAXONOMY_MEASURES)
@pytest.mark.parametrize(("head", "name", "graph", "concepts"), [
    (WILD, "wordnet", WORDNET, sorted(IDS)), (FS, "ways", WAYS, [f"f{i}" for i in range(5)]),
], ids=["wordnet", "lengths"])  # fmt: skip
def test_a_measure_is_the_naive_one(small, measure, head, name, graph, concepts):
    (row,) = dicts(small.compare_taxonomy(head.name, name, measures=measure, **PLAIN))
    assert row["n"] == len(concepts)
    assert row["estimate"] == pytest.approx(naive_measure(measure, head, graph, concepts), abs=1e-5)
    assert [row[c] for c in ("low", "high", "p_value", "permutations", "resamples")] == [
        None,
        None,
        None,
        0,
        0,
    ]


def test_columns_draws_and_seeds(small):
    relation = small.compare_taxonomy(["wild", "fs"][:1], permutations=19, resamples=19, seed=7)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == COMPARED
    rows = dicts(relation)
    assert [row["measure"] for row in rows] == list(TAXONOMY_MEASURES)
    for row in rows:
        ranked = row["measure"] in {"path", "wu-palmer", "lca-depth"}
        assert (row["permutations"], row["resamples"], row["seed"]) == (19, 19 if ranked else 0, 7)
        assert 0.05 <= row["p_value"] <= 1
        assert (row["p_value"] * 20) % 1 == pytest.approx(0, abs=1e-9)
        if ranked:
            assert row["low"] <= row["estimate"] <= row["high"]
            assert row["null_value"] == 0
        else:
            assert (row["low"], row["high"]) == (None, None)
            assert 0 <= row["null_value"] < 0.5
    assert dicts(small.compare_taxonomy("wild", permutations=19, resamples=19, seed=7)) == rows
    other = dicts(small.compare_taxonomy("wild", permutations=19, resamples=19, seed=8))
    assert [row["estimate"] for row in other] == [row["estimate"] for row in rows]
    assert [row["low"] for row in other] != [row["low"] for row in rows]


def test_several_models_and_one_measure(small):
    rows = dicts(
        small.compare_taxonomy("fs", "life", measures=["triplets", "path", "triplets"], **PLAIN)
    )
    assert [row["measure"] for row in rows] == ["triplets", "path"]
    assert {row["taxonomy"] for row in rows} == {"life"}


def test_a_model_that_knows_the_taxonomy_is_found_to(tmp_path, small_path):
    knows = np.stack(
        [
            [float(t in WORDNET.above(c)) for t in sorted(set().union(*map(WORDNET.above, IDS)))]
            for c in IDS
        ]
    )
    path = shutil.copy(small_path, tmp_path / "x.duckdb")
    with classrel_db.open(path) as catalog:
        add(
            catalog,
            tmp_path,
            made(
                "knows",
                IDS,
                weight=knows + np.random.default_rng(1).normal(size=knows.shape) * 0.01,
            ),
        )
        for row in dicts(catalog.compare_taxonomy("knows", permutations=19, resamples=0)):
            assert row["estimate"] > 0.6, row
            assert row["p_value"] == 0.05
        top = dicts(catalog.taxonomy_purity("knows", k=2, permutations=19))
        assert min(row["p_value"] for row in top) == 0.05


def test_the_tree_is_that_of_all_classes(small):
    """Of which those that are in no taxonomy are taken away, and not a tree of the others alone."""
    rows = dicts(small.taxonomy_clades("wild"))
    found = clades(WILD, IDS)
    by_label = dict(zip(LABELS, IDS, strict=True))
    members = WORDNET.members(IDS)
    assert len(rows) == len({frozenset(s) for s in members.values() if 1 < len(s) < len(IDS)})
    for row in rows:
        own = members[row["taxon"]]
        assert row["classes"] == len(own)
        assert row["depth"] == WORDNET.depth(row["taxon"])
        best = max(2 * len(own & s) / (len(own) + len(s)) for s in found)
        assert row["f1"] == pytest.approx(best)
        assert row["monophyletic"] == (frozenset(own) in found) == (row["f1"] == 1)
        clade = own - {by_label[x] for x in row["missing"]} | {
            by_label[x] for x in row["intruding"]
        }
        assert frozenset(clade) in found
        assert len(clade) == row["clade"]
        assert 2 * len(own & clade) / (len(own) + len(clade)) == pytest.approx(best)
        assert row["smallest"] == min(len(s) for s in found if own <= s)
        assert row["missing"] == sorted(row["missing"])
        # the lowest of those with the same classes
        assert row["depth"] == max(WORDNET.depth(t) for t, s in members.items() if s == own)
    assert any(row["monophyletic"] for row in rows)
    assert not all(row["monophyletic"] for row in rows)
    assert [row["classes"] for row in rows] == sorted(
        (row["classes"] for row in rows), reverse=True
    )


def naive_purity(S, same, k):
    n = len(S)
    near = [nearest(S[i].astype(np.float32), k, (i,)) for i in range(n)]
    kin = [i for i in range(n) if any(same[i][j] for j in range(n) if j != i)]
    chance = np.mean([same[i][j] for i in kin for j in range(n) if i != j])
    most = np.mean([min(k, sum(same[i][j] for j in range(n) if j != i)) / k for i in kin])
    return np.mean([same[i][j] for i in kin for j in near[i]]), chance, most, len(kin)


@pytest.mark.parametrize("k", [1, 3, 17])
def test_purity_by_depth_where_there_are_no_ranks(small, k):
    relation = small.taxonomy_purity("wild", k=k, permutations=9, seed=2)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == PURITY
    rows = dicts(relation)
    concepts = sorted(IDS)
    S = cosines(WILD, concepts)
    depth = np.array([[WORDNET.pair(a, b)[2] for b in concepts] for a in concepts])
    deepest = int(depth[~np.eye(len(IDS), dtype=bool)].max())
    assert [row["rank"] for row in rows] == [f"depth {d}" for d in range(deepest, 0, -1)]
    for row in rows:
        d = int(row["rank"].split()[1])
        # a class that is not so deep can be together with none
        deep = [i for i, concept in enumerate(concepts) if WORDNET.depth(concept) >= d]
        near = min(k, len(deep) - 1)
        at = np.ix_(deep, deep)
        purity, chance, most, kin = naive_purity(S[at], depth[at] >= d, near)
        assert row["purity"] == pytest.approx(purity)
        assert row["chance"] == pytest.approx(chance)
        assert row["most"] == pytest.approx(most)
        assert row["ratio"] == (pytest.approx(purity / chance) if chance else None)
        assert (row["n"], row["k"], row["permutations"], row["seed"]) == (kin, near, 9, 2)
        assert row["groups"] is None
        assert 0.1 <= row["p_value"] <= 1
    assert min(row["n"] for row in rows) < max(row["n"] for row in rows) == 18


def test_purity_by_rank(small):
    rows = dicts(small.taxonomy_purity("fs", "life", k=2, permutations=9))
    lines = list(csv.DictReader(LINEAGE.splitlines()))
    assert [row["rank"] for row in rows] == [
        "family",
        "order",
        "kingdom",
    ]  # no species has two classes
    S = cosines(FS, list(FS.concepts))
    for row in rows:
        of = [line[row["rank"]] for line in lines]
        purity, chance, most, kin = naive_purity(S, np.array([[a == b for b in of] for a in of]), 2)
        assert (row["purity"], row["chance"]) == (pytest.approx(purity), pytest.approx(chance))
        assert row["most"] == pytest.approx(most)
        assert row["groups"] == len(set(of))
        assert row["n"] == kin


@pytest.mark.parametrize(("head", "name", "graph", "concepts"), [
    (WILD, "wordnet", WORDNET, sorted(IDS)), (FS, "ways", WAYS, [f"f{i}" for i in range(5)]),
], ids=["wordnet", "lengths"])  # fmt: skip
def test_surprises_are_by_the_two_shares(small, head, name, graph, concepts):
    n = len(concepts)
    count = n * (n - 1) // 2
    relation = small.taxonomy_surprises(head.name, name, k=count)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == SURPRISES
    rows = dicts(relation)
    S = cosines(head, concepts)
    pairs = list(combinations(range(n), 2))
    by_head = (rankdata([S[i, j] for i, j in pairs]) - 0.5) / count
    by_path = (rankdata([-graph.pair(concepts[i], concepts[j])[0] for i, j in pairs]) - 0.5) / count
    label = dict(zip(head.concepts, head.labels, strict=True))
    expected = {
        frozenset([label[concepts[i]], label[concepts[j]]]): (
            x,
            y,
            S[i, j],
            graph.pair(concepts[i], concepts[j]),
        )
        for (i, j), x, y in zip(pairs, by_head, by_path, strict=True)
    }
    for kind, sign in (("closer", -1), ("farther", 1)):
        some = [row for row in rows if row["surprise"] == kind]
        split = {
            pair
            for pair, (x, y, *_) in expected.items()
            if -sign * (x - 0.5) > 0 > -sign * (y - 0.5)
        }
        assert [row["rank"] for row in some] == list(range(1, len(split) + 1))
        assert {frozenset([row["class_a"], row["class_b"]]) for row in some} == split
        gaps = [round(sign * row["difference"], 9) for row in some]
        assert gaps == sorted(gaps)
        for row in some:
            x, y, cosine, (way, _, depth) = expected[frozenset([row["class_a"], row["class_b"]])]
            assert row["cosine_share"] == pytest.approx(x, abs=1e-9)
            assert row["path_share"] == pytest.approx(y, abs=1e-9)
            assert row["difference"] == pytest.approx(x - y, abs=1e-9)
            assert row["cosine"] == pytest.approx(cosine, abs=1e-5)
            assert (row["path"], row["depth"]) == (pytest.approx(way), depth)
    three = dicts(small.taxonomy_surprises(head.name, name, k=3))
    assert three == [row for row in rows if row["rank"] <= 3]


def test_the_common_ancestor_has_its_label(small):
    rows = dicts(small.taxonomy_surprises("wild", k=153))
    found = {frozenset([row["class_a"], row["class_b"]]): row["common"] for row in rows}
    concept = dict(zip(WILD.labels, WILD.concepts, strict=True))
    assert len(found) > 10
    for pair, common in found.items():
        a, b = (set(WORDNET.above(concept[label])) for label in pair)
        deepest = max(WORDNET.depth(taxon) for taxon in a & b)
        lowest = [taxon for taxon in a & b if WORDNET.depth(taxon) == deepest]
        found = small.sql("SELECT label FROM taxa WHERE list_contains($t, taxon)", {"t": lowest})
        assert (common,) in found.fetchall()


def test_the_order_of_the_classes_changes_nothing(small, tmp_path):
    order = np.random.default_rng(5).permutation(len(WILD.concepts))
    turned = made("wild", [WILD.concepts[i] for i in order], weight=WILD.weight[order],
                  labels=[WILD.labels[i] for i in order])  # fmt: skip
    with classrel_db.open(tmp_path / "turned.duckdb") as other:
        add(other, tmp_path, turned)
        for ask in (
            lambda c: c.compare_taxonomy("wild", permutations=9, resamples=9),
            lambda c: c.taxonomy_clades("wild"),
            lambda c: c.taxonomy_purity("wild", k=3, permutations=9),
            lambda c: c.taxonomy_surprises("wild", k=40),
        ):
            for one, two in zip(ask(small).fetchall(), ask(other).fetchall(), strict=True):
                for x, y in zip(one, two, strict=True):
                    assert x == (pytest.approx(y, abs=1e-9) if isinstance(y, float) else y)


# the real head


def test_lite0_and_wordnet(real, heads):
    (path, triplets) = dicts(real.compare_taxonomy(LITE0, measures=["path", "monophyly"], **PLAIN))
    concepts = [row["wnid"] for row in CLASSES]
    cosine = heads[LITE0].cosine
    above = np.triu_indices(1000, 1)
    ways = {c: {t: way for t, (_, way) in WORDNET.above(c).items()} for c in concepts}
    some = np.random.default_rng(1).choice(len(above[0]), 20_000, replace=False)
    values = []
    for i, j in zip(above[0][some], above[1][some], strict=True):
        a, b = ways[concepts[i]], ways[concepts[j]]
        values.append(-min(a[t] + b[t] for t in a.keys() & b.keys()))
    sampled = spearmanr(values, cosine[above][some]).statistic
    assert path["estimate"] == pytest.approx(sampled, abs=0.03)
    assert path["n"] == triplets["n"] == 1000
    sets = [{c} for c in concepts]
    for left, right, *_ in real.linkage(LITE0):
        sets.append(sets[int(left)] | sets[int(right)])
    found = {frozenset(s) for s in sets}
    taxa = {frozenset(s) for s in WORDNET.members(concepts).values() if 1 < len(s) < 1000}
    assert triplets["estimate"] == pytest.approx(len(taxa & found) / len(taxa))
    rows = dicts(real.taxonomy_clades(LITE0))
    assert len(rows) == len(taxa)
    kept = {row["label"] for row in rows if row["monophyletic"]}
    assert len([row for row in rows if row["monophyletic"]]) == len(taxa & found)
    assert "crab" in kept


def test_crabs_and_dogs_by_a_lineage_of_ones_own(real, tmp_path, heads):
    lines = ["kingdom,order,group,name,concept"]
    indices = [118, 119, 120, 121, 151, 152, 153, 207, 208, 209]
    for index in indices:
        order, group = (
            ("Decapoda", "crab")
            if index < 122
            else ("Carnivora", "toy" if index < 154 else "retriever")
        )
        lines.append(f"Animalia,{order},{group},{CLASSES[index]['label']},{CLASSES[index]['wnid']}")
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    found = real.add_taxonomy(tmp_path / "mine.csv", "mine")
    assert found.kind == "lineage"
    matched = dicts(real.match_taxonomy(LITE0, "mine"))
    assert [row["class_idx"] for row in matched if row["taxon"] is not None] == indices
    assert {row["class"] for row in matched if row["taxon"]} == {
        CLASSES[i]["label"] for i in indices
    }
    (row,) = dicts(real.compare_taxonomy(LITE0, "mine", measures="triplets", **PLAIN))
    S = heads[LITE0].cosine[np.ix_(indices, indices)]
    group = np.array([0] * 4 + [1] * 3 + [2] * 3)
    depth = 1 * (group[:, None] > 0) * (group[None] > 0) + 2 * (group[:, None] == group[None])
    depth[:4, :4] = 3
    alike = asked = 0
    for three in combinations(range(10), 3):
        two = list(combinations(three, 2))
        depths = [depth[p] for p in two]
        if depths.count(max(depths)) == 1:
            asked += 1
            alike += int(np.argmax(depths)) == int(np.argmax([S[p] for p in two]))
    assert (row["n"], row["estimate"]) == (10, pytest.approx(alike / asked))
    rows = {row["label"]: row for row in dicts(real.taxonomy_clades(LITE0, "mine"))}
    assert (rows["crab"]["classes"], rows["crab"]["monophyletic"]) == (4, True)
    purity = {
        row["rank"]: row for row in dicts(real.taxonomy_purity(LITE0, "mine", k=3, permutations=9))
    }
    assert purity["order"]["purity"] == pytest.approx(
        np.mean(
            [(group[i] > 0) == (group[j] > 0) for i in range(10) for j in nearest(S[i], 3, (i,))]
        )
    )
    named = {row["name"] for row in dicts(real.cluster(LITE0, 60, taxonomy="mine"))}
    assert {"crab"} <= {name.partition(":")[0] for name in named}
    real.remove_taxonomy("mine")


# adding and removing


def content(catalog):
    return {
        table: catalog.sql(f"FROM {table} ORDER BY ALL").fetchall()
        for table in ("taxonomies", "taxa", "taxon_parents", "taxon_names")
    }


def test_the_taxonomies_are_listed(small, files):
    relation = small.taxonomies()
    assert relation.columns == ["taxonomy", "kind", "taxa", "ranks", "depth", "source", "added_at"]
    rows = {row["taxonomy"]: row for row in dicts(relation)}
    assert set(rows) == {"wordnet", "life", "ways", "phylo"}
    told = {name: (row["kind"], row["ranks"], row["depth"]) for name, row in rows.items()}
    assert {name: each for name, each in told.items() if name != "wordnet"} == {
        "life": ("lineage", 4, 4), "ways": ("edges", 0, 2), "phylo": ("newick", 0, 3),
    }  # fmt: skip
    assert (rows["wordnet"]["taxa"], rows["ways"]["taxa"], rows["phylo"]["taxa"]) == (1860, 8, 9)
    assert "lineage.csv" in rows["life"]["source"]


def test_what_was_read_is_returned_and_stored(own, files):
    found = own.add_taxonomy(files / "edges.csv", "again", kind="edges")
    assert (found.kind, len(found.taxa)) == ("edges", 8)
    assert own.sql("SELECT taxon, label, depth FROM taxa WHERE taxonomy = 'again'").fetchall() == [
        ("a", "a", 1), ("b", "b", 1), ("f0", "f0", 2), ("f1", "f1", 2), ("f2", "f2", 2), ("f3", "f3", 2),
        ("f4", "f4", 2), ("top", "top", 0),
    ]  # fmt: skip
    assert own.sql(
        "SELECT taxon, parent, length FROM taxon_parents WHERE taxonomy = 'again' AND taxon = 'f1'"
    ).fetchall() == [("f1", "a", 0.5)]


def test_a_match_says_which_class_is_which_taxon(small):
    relation = small.match_taxonomy("wild")
    assert relation.columns == [
        "model",
        "class_idx",
        "class",
        "concept",
        "taxonomy",
        "taxon",
        "label",
        "rank",
    ]
    rows = dicts(relation)
    assert [row["class_idx"] for row in rows] == list(range(20))
    for row, concept, label in zip(rows, WILD.concepts, WILD.labels, strict=True):
        known = concept in IDS
        assert (row["concept"], row["class"], row["taxonomy"]) == (concept, label, "wordnet")
        assert (row["taxon"], row["label"]) == ((concept, label) if known else (None, None))
    assert {row["taxon"] for row in dicts(small.match_taxonomy("none"))} == {None}
    assert [row["taxon"] for row in dicts(small.match_taxonomy("fs", "ways"))] == [
        "f0",
        "f1",
        "f2",
        "f3",
        "f4",
        None,
        None,
        None,
    ]


def test_names_match_in_any_case_and_with_blanks_for_underscores(own, tmp_path, files):
    add(
        own,
        tmp_path,
        made(
            "latin",
            ["FELIS_catus", "panthera Leo", "Canis__lupus", "vulpes", "Pan paniscus ", "x"],
            seed=1,
        ),
    )
    found = [row["label"] for row in dicts(own.match_taxonomy("latin", "life"))]
    assert found[:2] == ["Felis catus", "Panthera leo"]
    assert found[3] is found[5] is None
    assert found[2] == "Canis lupus"


def test_another_takes_the_place_only_when_asked(own, files, path):
    own.compare_taxonomy("fs", "ways", **PLAIN)  # its tree is kept
    before = content(own)
    with pytest.raises(ArgumentError, match=r'there is a taxonomy "ways" already.*--replace'):
        own.add_taxonomy(files / "tree.nwk", "ways")
    assert content(own) == before
    own.add_taxonomy(files / "tree.nwk", "ways", replace=True)
    after = content(own)
    assert {row for row in after["taxa"] if row[0] != "ways"} == {
        row for row in before["taxa"] if row[0] != "ways"
    }
    assert {row[1] for row in after["taxa"] if row[0] == "ways"} == {
        row[1] for row in after["taxa"] if row[0] == "phylo"
    }
    kinds = {row["taxonomy"]: row["kind"] for row in dicts(own.taxonomies())}
    assert kinds["ways"] == "newick"
    own.add_taxonomy(files / "edges.csv", "new", replace=True)  # nothing is there to be replaced
    assert all(row[2] for row in own.check().fetchall())


def test_a_taxonomy_is_removed_whole_and_alone(own):
    before = content(own)
    own.remove_taxonomy("ways")
    after = content(own)
    assert {
        name: [row for row in rows if row[0] != "ways"] for name, rows in before.items()
    } == after
    assert before != after
    with pytest.raises(ArgumentError, match="no taxonomy"):
        own.remove_taxonomy("ways")


def test_a_file_that_is_none_leaves_everything_as_it_was(own, tmp_path):
    before = content(own)
    for name, text in (
        ("x.nwk", "((a,b"),
        ("x.csv", "child,parent\na,b\nb,a\n"),
        ("y.csv", ""),
        ("none.csv", None),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(TaxonomyError, match=name):
            own.add_taxonomy(tmp_path / name, "bad")
        with pytest.raises(TaxonomyError, match=name):
            own.add_taxonomy(tmp_path / name, "life", replace=True)
    assert content(own) == before


def test_a_name_has_no_blanks_around_it(own, files):
    own.add_taxonomy(files / "edges.csv", "  spaced ")
    assert "spaced" in {row["taxonomy"] for row in dicts(own.taxonomies())}


WRONG = [
    (lambda c, f: c.add_taxonomy(f / "edges.csv", "wordnet"), ArgumentError, "comes with classrel"),
    (lambda c, f: c.add_taxonomy(f / "edges.csv", "wordnet", replace=True), ArgumentError, "comes with"),
    (lambda c, f: c.remove_taxonomy("wordnet"), ArgumentError, "stays"),
    (lambda c, f: c.add_taxonomy(f / "edges.csv", ""), ArgumentError, "name"),
    (lambda c, f: c.add_taxonomy(f / "edges.csv", "-x"), ArgumentError, "hyphen"),
    (lambda c, f: c.add_taxonomy(f / "edges.csv", "a\nb"), ArgumentError, "printable"),
    (lambda c, f: c.add_taxonomy(f / "edges.csv", "x", kind="tree"), ArgumentError, "lineage, edges, newick"),
    (lambda c, f: c.remove_taxonomy("lief"), ArgumentError, 'did you mean "life"'),
    (lambda c, f: c.match_taxonomy("wild", "lief"), ArgumentError, 'did you mean "life"'),
    (lambda c, f: c.match_taxonomy("wlid"), UnknownModelError, 'did you mean "wild"'),
    (lambda c, f: c.compare_taxonomy("wild", "lief"), ArgumentError, 'did you mean "life"'),
    (lambda c, f: c.compare_taxonomy("wlid"), UnknownModelError, 'did you mean "wild"'),
    (lambda c, f: c.compare_taxonomy([]), ArgumentError, "no model is named"),
    (lambda c, f: c.compare_taxonomy("wild", measures="paht"), ArgumentError, 'did you mean "path"'),
    (lambda c, f: c.compare_taxonomy("wild", measures=[]), ArgumentError, "no measure"),
    (lambda c, f: c.compare_taxonomy("wild", permutations=-1), ArgumentError, "permutations is -1"),
    (lambda c, f: c.compare_taxonomy("wild", resamples=-1), ArgumentError, "resamples is -1"),
    (lambda c, f: c.compare_taxonomy("wild", seed=-1), ArgumentError, "seed is -1"),
    (lambda c, f: c.compare_taxonomy("wild", method="x"), ArgumentError, "method is"),
    (lambda c, f: c.compare_taxonomy("few"), ArgumentError, "3 of the 5 classes of few.*4 are .*the aa"),
    (lambda c, f: c.compare_taxonomy(["wild", "none"]), ArgumentError, "0 of the 5 classes of none"),
    (lambda c, f: c.taxonomy_clades("few"), ArgumentError, "taxonomy match few wordnet"),
    (lambda c, f: c.taxonomy_clades("wild", "life"), ArgumentError, "0 of the 20 classes"),
    (lambda c, f: c.taxonomy_purity("few"), ArgumentError, "4 are needed"),
    (lambda c, f: c.taxonomy_purity("wild", k=0), ArgumentError, "k is 0"),
    (lambda c, f: c.taxonomy_purity("wild", k=18), ArgumentError, "17 other classes"),
    (lambda c, f: c.taxonomy_surprises("few"), ArgumentError, "4 are needed"),
    (lambda c, f: c.taxonomy_surprises("wild", k=0), ArgumentError, "k is 0"),
    (lambda c, f: c.taxonomy_surprises("wild", k=154), ArgumentError, "153 pairs"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_wrong_question_is_refused_and_nothing_written(own, path, files, number):
    ask, kind, said = WRONG[number]
    before = path.read_bytes()
    with pytest.raises(kind, match=said):
        ask(own, files)
    own.close()
    assert path.read_bytes() == before
