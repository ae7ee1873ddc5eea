"""Classes in a taxonomy against networkx, on WordNet and on random graphs, and against sets."""

from __future__ import annotations

import csv
import itertools
from importlib.resources import files

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.maths.ancestry import Ancestry, best_taxa, kept_together, neighbor_purity
from classrel_db.maths.resample import permutations

from .test_trees import leaf_sets, random_tree

seeds = st.integers(0, 2**32 - 1)


class Graph:
    """Taxa as networkx has them: edges upwards, from a taxon to what it stands under."""

    def __init__(self, parents, taxon):
        self.up = nx.DiGraph()
        self.up.add_nodes_from(range(len(parents)))
        for child, own in enumerate(parents):
            for parent, length in own:
                self.up.add_edge(child, parent, length=length)
        self.depth = nx.single_source_shortest_path_length(self.up.reverse(), 0)
        self.taxon = taxon
        self.edges = [nx.single_source_shortest_path_length(self.up, t) for t in taxon]
        self.ways = [
            nx.single_source_dijkstra_path_length(self.up, t, weight="length") for t in taxon
        ]
        self.members = {
            t: [i for i, own in enumerate(self.edges) if t in own] for t in range(len(parents))
        }

    def over(self, i, j):
        return set(self.edges[i]) & set(self.edges[j])

    def path(self, i, j):
        return min(self.ways[i][t] + self.ways[j][t] for t in self.over(i, j))

    def wu_palmer(self, i, j):
        """Depths in taxa from the root, which has 1."""
        return max(
            2
            * (self.depth[t] + 1)
            / (self.edges[i][t] + self.edges[j][t] + 2 * (self.depth[t] + 1))
            for t in self.over(i, j)
        )

    def common_depth(self, i, j):
        return max(self.depth[t] for t in self.over(i, j))

    def common(self, i, j):
        return min(
            self.over(i, j), key=lambda t: (-self.depth[t], self.edges[i][t] + self.edges[j][t], t)
        )

    def ancestry(self):
        parents = [
            [(t, data["length"]) for _, t, data in self.up.out_edges(child, data=True)]
            for child in range(len(self.up))
        ]
        depth = np.array([self.depth[t] for t in range(len(self.up))])
        return Ancestry(parents, depth, np.asarray(self.taxon))


def random_graph(seed, n_taxa=14, n=9, lengths=True):
    """The root is 0; each taxon stands under one to three earlier ones; some classes share a taxon."""
    random = np.random.default_rng(seed)
    parents = [[]]
    for taxon in range(1, n_taxa):
        several = random.choice(taxon, size=min(taxon, random.integers(1, 4)), replace=False)
        parents.append(
            [(int(t), float(random.choice([0.0, 0.5, 1, 3])) if lengths else 1.0) for t in several]
        )
    return Graph(parents, random.integers(0, n_taxa, size=n).tolist())


def read_table(name):
    with (files("classrel_db") / "data" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def wordnet():
    """Every eighth class of ImageNet, and the taxa of WordNet."""
    names = [row["wnid"] for row in read_table("wordnet_nodes.csv")]
    edges = [(row["child"], row["parent"]) for row in read_table("wordnet_hypernyms.csv")]
    under = {child for child, _ in edges}
    (root,) = set(names) - under
    names.sort(key=lambda name: name != root)
    place = {name: number for number, name in enumerate(names)}
    parents = [[] for _ in names]
    for child, parent in edges:
        parents[place[child]].append((place[parent], 1.0))
    assert max(len(own) for own in parents) > 1
    classes = [place[row["wnid"]] for row in read_table("imagenet1k_classes.csv")][::8]
    return Graph(parents, classes)


def assert_as_networkx_says(graph):
    ancestry = graph.ancestry()
    n = len(graph.taxon)
    for i, j in itertools.product(range(n), repeat=2):
        assert ancestry.wu_palmer[i, j] == pytest.approx(graph.wu_palmer(i, j) if i != j else 1)
        assert ancestry.common_depth[i, j] == graph.common_depth(i, j)
        assert ancestry.path[i, j] == pytest.approx(graph.path(i, j))
    for taxon, members in graph.members.items():
        assert ancestry.members(taxon).tolist() == members
        assert ancestry.sizes[taxon] == len(members)


def assert_telling(graph):
    ancestry = graph.ancestry()
    found = ancestry.telling.tolist()
    assert found == sorted(set(found))
    wanted = {tuple(own) for own in graph.members.values() if 1 < len(own) < len(graph.taxon)}
    assert sorted(tuple(graph.members[t]) for t in found) == sorted(wanted)
    for taxon in found:
        same = [t for t, own in graph.members.items() if own == graph.members[taxon]]
        assert graph.depth[taxon] == max(graph.depth[t] for t in same)


def test_wordnet_is_as_networkx_says(wordnet):
    assert_as_networkx_says(wordnet)
    assert_telling(wordnet)
    ancestry = wordnet.ancestry()
    random = np.random.default_rng(0)
    for i, j in random.integers(0, len(wordnet.taxon), size=(60, 2)).tolist():
        assert ancestry.common(i, j) == wordnet.common(i, j)
    # between classes of a graph with edges of one length the way is that of the graph itself, or longer
    undirected = wordnet.up.to_undirected()
    for i, j in random.integers(0, len(wordnet.taxon), size=(20, 2)).tolist():
        shortest = nx.shortest_path_length(undirected, wordnet.taxon[i], wordnet.taxon[j])
        assert ancestry.path[i, j] >= shortest


@given(seed=seeds, lengths=st.booleans())
@settings(max_examples=30)
def test_random_graphs_are_as_networkx_says(seed, lengths):
    graph = random_graph(seed, lengths=lengths)
    assert_as_networkx_says(graph)
    assert_telling(graph)
    ancestry = graph.ancestry()
    for i, j in itertools.product(range(len(graph.taxon)), repeat=2):
        assert ancestry.common(i, j) == graph.common(i, j)


def test_the_way_with_the_fewest_edges_need_not_be_the_shortest():
    # 0 over 1 over 2 over 3, each at 1; and 3 right under 0 at 10
    parents = [[], [(0, 1.0)], [(1, 1.0)], [(2, 1.0), (0, 10.0)], [(0, 2.0)]]
    ancestry = Ancestry(parents, np.array([0, 1, 2, 1, 1]), np.array([3, 4]))
    assert ancestry.path[0, 1] == 5
    assert ancestry.wu_palmer[0, 1] == pytest.approx(2 / (1 + 1 + 2))


def test_a_ladder_of_diamonds_takes_no_time():
    """2^200 ways up."""
    parents = [[]]
    for rung in range(200):
        top = 3 * rung
        parents += [[(top, 1.0)], [(top, 2.0)], [(top + 1, 1.0), (top + 2, 1.0)]]
    depth = np.array(
        [0, *(d for rung in range(200) for d in (2 * rung + 1,) * 2 + (2 * rung + 2,))]
    )
    ancestry = Ancestry(parents, depth, np.array([600, 1]))
    assert ancestry.path[0, 1] == 399
    assert ancestry.common(0, 1) == 1
    assert ancestry.common_depth[0, 1] == 1


def test_classes_without_a_taxon_belong_to_nobody():
    parents = [[], [(0, 1.0)], [(0, 1.0)], [(1, 1.0)]]
    ancestry = Ancestry(parents, np.array([0, 1, 1, 2]), np.array([3, -1, 2, 3, -1]))
    assert ancestry.members(0).tolist() == [0, 2, 3]
    assert ancestry.sizes.tolist() == [3, 2, 1, 2]
    assert np.isinf(ancestry.path[1, [0, 2, 3, 4]]).all()
    assert np.isinf(ancestry.path[[0, 2, 3, 4], 1]).all()
    assert np.diag(ancestry.path).tolist() == [0.0] * 5
    assert not ancestry.wu_palmer[1, [0, 2, 3, 4]].any()
    assert ancestry.path[0, 3] == 0
    assert ancestry.wu_palmer[0, 3] == 1
    nobody = Ancestry(parents, np.array([0, 1, 1, 2]), np.array([-1, -1, -1]))
    assert nobody.sizes.tolist() == [0] * 4
    assert not len(nobody.telling)
    tree = random_tree(3, 0, 2)
    assert best_taxa(nobody, tree).taxon.tolist() == [-1] * 5


def test_one_taxon_over_all_tells_nothing():
    for parents, depth in (([[]], [0]), ([[], [(0, 1.0)]], [0, 1])):
        ancestry = Ancestry(parents, np.array(depth), np.full(6, len(depth) - 1))
        assert ancestry.telling.tolist() == []
        assert not ancestry.path.any()
        assert (ancestry.wu_palmer == 1).all()
        fit = best_taxa(ancestry, random_tree(6, 0))
        assert (fit.taxon == len(depth) - 1).all()  # the deepest
        node, f1, over = kept_together(ancestry, ancestry.telling, random_tree(6, 0))
        assert len(node) == len(f1) == len(over) == 0


# trees


def naive_f1(one, other):
    return 2 * len(one & other) / (len(one) + len(other))


@given(seed=seeds, n=st.integers(2, 10), most=st.integers(2, 4), unmatched=st.booleans())
@settings(max_examples=40)
def test_the_best_taxon_is_that_of_all_sets(seed, n, most, unmatched):
    graph = random_graph(seed, n=n)
    tree = random_tree(n, seed % 1000, most)
    ancestry = graph.ancestry()
    taxon = np.asarray(graph.taxon)
    if unmatched:
        taxon[::3] = -1
        parents = [[(t, 1.0) for t in graph.up.successors(child)] for child in range(len(graph.up))]
        ancestry = Ancestry(parents, ancestry.depth, taxon)
    members = {t: frozenset(i for i in own if taxon[i] >= 0) for t, own in graph.members.items()}
    fit = best_taxa(ancestry, tree)
    for node, leaves in enumerate(leaf_sets(tree)):
        if node < n:
            assert fit.taxon[node] == taxon[node]
            continue
        ranked = sorted(
            (-naive_f1(own, leaves), len(own), -graph.depth[t], t)
            for t, own in members.items()
            if len(own) > 1 and own & leaves
        )
        if not ranked or 2 * sum(taxon[leaf] >= 0 for leaf in leaves) < len(leaves):
            assert (fit.taxon[node], fit.f1[node], fit.shared[node]) == (-1, 0, 0)
            continue
        assert fit.taxon[node] == ranked[0][3]
        assert fit.f1[node] == pytest.approx(-ranked[0][0])
        assert fit.shared[node] == len(members[ranked[0][3]] & leaves)
    for taxa in (ancestry.telling, np.flatnonzero(ancestry.sizes > 0)):
        node, f1, over = kept_together(ancestry, taxa, tree)
        sets = leaf_sets(tree)
        for place, t in enumerate(taxa.tolist()):
            ranked = sorted(
                (-naive_f1(members[t], sets[v]), len(sets[v]), v) for v in range(n, len(sets))
            )
            assert (-f1[place], len(sets[node[place]])) == pytest.approx(ranked[0][:2])
            assert over[place] == min(len(s) for s in sets[n:] if members[t] <= s)
            if len(members[t]) > 1:
                assert (f1[place] == 1) == (members[t] in sets)


def test_a_class_without_a_taxon_fits_none():
    """-1 where none does, and then nothing is shared."""
    ancestry = Ancestry([[], [(0, 1.0)]], np.array([0, 1]), np.array([1, -1, 1]))
    fit = best_taxa(ancestry, random_tree(3, 0, 2))
    assert fit.taxon[:3].tolist() == [1, -1, 1]
    assert fit.f1[:3].tolist() == [1, 0, 1]
    assert fit.shared[:3].tolist() == [1, 0, 1]


# neighbours


@pytest.mark.parametrize("seed", range(3))
def test_purity_is_that_of_a_loop(seed):
    random = np.random.default_rng(seed)
    n, k = 12, 3
    cosine = random.normal(size=(n, n))
    np.fill_diagonal(cosine, -9)
    nearest = np.argsort(-cosine, axis=1)[:, :k].astype(np.int32)
    group = random.integers(0, 4, size=n)
    if seed == 2:  # neighbours of their own group
        group = np.arange(n) // 4
        nearest = np.array(
            [[j for j in range(n) if group[j] == group[i] and j != i] for i in range(n)]
        )
        nearest = nearest.astype(np.int32)
    same = group[:, None] == group[None, :]
    orders = permutations(n, 50, 1)

    def share(groups):
        kin = [i for i in range(n) if (groups == groups[i]).sum() > 1]
        return np.mean([groups[i] == groups[j] for i in kin for j in nearest[i]])

    observed, chance, most, p = neighbor_purity(nearest, same, orders)
    kin = [i for i in range(n) if (group == group[i]).sum() > 1]
    assert most == pytest.approx(np.mean([min(k, (group == group[i]).sum() - 1) / k for i in kin]))
    assert observed == pytest.approx(share(group))
    pairs = [group[i] == group[j] for i in kin for j in range(n) if i != j]
    assert chance == pytest.approx(np.mean(pairs))
    null = [share(group[order]) for order in orders]
    assert p == pytest.approx((1 + sum(each >= observed - 1e-9 for each in null)) / 51)
    if seed == 2:
        assert (observed, p) == (1, 1 / 51)
    assert neighbor_purity(nearest, same, orders[:0]) == (observed, chance, most, None)
