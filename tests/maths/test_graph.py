"""The graph of mutual neighbours against loops and networkx; its communities against what was planted."""

from __future__ import annotations

import random as generator
import sys

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classrel_db.maths.ancestry import Ancestry
from classrel_db.maths.graph import (
    Graph,
    class_spans,
    communities,
    group_taxa,
    mean_cosines,
    mutual_graph,
)

from .test_ancestry import random_graph
from .test_trees import leaf_sets, random_tree

seeds = st.integers(0, 2**32 - 1)


def neighbors(seed, n=12, k=3):
    """Who is near whom: (n·k,) each, and the cosines that decide it, some of which tie."""
    random = np.random.default_rng(seed)
    cosine = random.integers(-4, 9, size=(n, n)) / 8
    cosine = np.triu(cosine, 1) + np.triu(cosine, 1).T
    ranked = [[j for j in np.argsort(-cosine[i], kind="stable") if j != i][:k] for i in range(n)]
    a, b = np.repeat(np.arange(n), k), np.asarray(ranked).reshape(-1)
    return a, b, cosine[a, b], ranked, cosine


def planted(groups=8, size=25, seed=0, inside=0.4, across=0.004):
    """A graph of groups with many edges inside of each and few between them, and the groups."""
    network = nx.planted_partition_graph(groups, size, inside, across, seed=seed)
    edges = np.asarray(sorted(tuple(sorted(edge)) for edge in network.edges))
    weights = np.random.default_rng(seed).uniform(0.2, 0.9, size=len(edges))
    return Graph(groups * size, edges, weights), np.repeat(np.arange(groups), size)


def network_of(graph):
    network = nx.Graph()
    network.add_nodes_from(range(graph.n))
    network.add_weighted_edges_from(
        (*edge, weight)
        for edge, weight in zip(graph.edges.tolist(), graph.weights.tolist(), strict=True)
    )
    return network


def sets_of(of):
    return [set(np.flatnonzero(of == c).tolist()) for c in range(int(of.max()) + 1)]


def adjusted_rand(a, b):
    """Hubert & Arabie 1985, from the counts of pairs."""
    table = np.histogram2d(a, b, bins=(a.max() + 1, b.max() + 1))[0]

    def pairs(counts):
        return (counts * (counts - 1) / 2).sum()

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    chance = rows * columns / pairs(np.array([len(a)]))
    return (both - chance) / ((rows + columns) / 2 - chance)


@given(seeds)
def test_an_edge_is_where_each_is_as_near_as_the_others_neighbours_and_like_it(seed):
    a, b, near, ranked, cosine = neighbors(seed)
    graph = mutual_graph(len(ranked), a, b, near)
    least = [cosine[i, ranked[i][-1]] for i in range(len(ranked))]
    expected = [
        [i, j]
        for i in range(len(ranked))
        for j in range(i + 1, len(ranked))
        if (j in ranked[i] or i in ranked[j])
        and cosine[i, j] >= max(least[i], least[j])
        and cosine[i, j] > 0
    ]
    assert graph.edges.tolist() == expected
    assert graph.weights.tolist() == [cosine[i, j] for i, j in expected]
    assert graph.isolated == len(ranked) - len({node for edge in expected for node in edge})


def test_of_many_equal_rows_none_is_left_alone():
    n, k = 60, 5  # two groups of equal ones: each names the first five others of its own
    groups = [list(range(30)), list(range(30, 60))]
    ranked = [[j for j in groups[i // 30] if j != i][:k] for i in range(n)]
    a, b = np.repeat(np.arange(n), k), np.asarray(ranked).reshape(-1)
    graph = mutual_graph(n, a, b, np.ones(n * k))
    assert graph.isolated == 0
    assert sets_of(communities(graph, 1.0, 0).of) == [set(group) for group in groups]


@given(seeds)
def test_the_order_in_which_neighbours_come_changes_nothing(seed):
    a, b, near, ranked, _ = neighbors(seed)
    order = np.random.default_rng(seed).permutation(len(a))
    one, other = (mutual_graph(len(ranked), *(x[o] for x in (a, b, near))) for o in (..., order))
    assert np.array_equal(one.edges, other.edges)
    assert np.array_equal(one.weights, other.weights)


@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_found(seed):
    graph, groups = planted(seed=seed)
    found = communities(graph, 1.0, seed)
    assert adjusted_rand(found.of, groups) == 1
    assert found.sizes.tolist() == [25] * 8
    assert found.of[0] == 0  # of equal ones that of the first node comes first
    network = network_of(graph)
    assert found.modularity == pytest.approx(
        nx.community.modularity(network, sets_of(found.of), weight="weight")
    )


def test_communities_hang_together_and_are_numbered_by_size():
    network = nx.powerlaw_cluster_graph(300, 2, 0.3, seed=1)
    graph = Graph(
        302,
        np.asarray(sorted(tuple(sorted(e)) for e in network.edges)),
        np.ones(len(network.edges)),
    )
    coarse, fine = communities(graph, 0.5, 0), communities(graph, 8.0, 0)
    assert 2 < len(coarse.sizes) < len(fine.sizes)
    whole = network_of(graph)
    for found in (coarse, fine):
        assert found.sizes.tolist() == sorted(found.sizes, reverse=True)
        assert sorted(np.bincount(found.of).tolist()) == sorted(found.sizes.tolist())
        assert all(nx.is_connected(whole.subgraph(own)) for own in sets_of(found.of))
        first = [min(own) for own in sets_of(found.of)]
        assert sorted(range(len(first)), key=lambda c: (-found.sizes[c], first[c])) == list(
            range(len(first))
        )
    assert graph.isolated == 2
    assert {found.sizes[found.of[node]] for node in (300, 301)} == {1}


def test_modularity_is_no_worse_than_that_of_another_library():
    graph, _ = planted(groups=6, size=20, inside=0.25, across=0.03)
    network = network_of(graph)
    other = nx.community.louvain_communities(network, weight="weight", seed=0)
    assert communities(graph, 1.0, 0).modularity >= (
        nx.community.modularity(network, other, weight="weight") - 0.01
    )


def test_a_seed_gives_the_same_each_time_and_no_other_draws_are_disturbed():
    graph, _ = planted(inside=0.12, across=0.05)  # hardly any groups: there is much to draw
    generator.seed(5)
    expected = generator.random()
    generator.seed(5)
    found = [communities(graph, 1.0, seed).of.tolist() for seed in (0, 0, 1, 2, 3)]
    assert generator.random() == expected
    assert found[0] == found[1]
    assert len(set(map(tuple, found))) > 1

    def drawn():  # by igraph, from Python's own generator, as it does unless told otherwise
        generator.seed(9)
        return igraph.Graph.Erdos_Renyi(30, 0.2).get_edgelist()

    before = drawn()
    communities(graph, 1.0, 0)
    assert drawn() == before


def test_without_edges_each_node_is_by_itself():
    found = communities(Graph(3, np.empty((0, 2), dtype=np.int64), np.empty(0)), 1.0, 0)
    assert found.of.tolist() == [0, 1, 2]
    assert found.modularity is None
    assert found.medoids.tolist() == [0, 1, 2]
    assert found.nearest.tolist() == [-1, -1, -1]
    assert found.graph.isolated == 3


def test_without_igraph_it_is_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    graph, _ = planted()
    with pytest.raises(ImportError):
        communities(graph, 1.0, 0)


@pytest.mark.parametrize("resolution", [0.5, 1, 10])
def test_what_communities_are_like_is_as_loops_say(resolution):
    graph, _ = planted(inside=0.2, across=0.02)
    found = communities(graph, resolution, 0)
    own = sets_of(found.of)
    weight = {tuple(e): w for e, w in zip(graph.edges.tolist(), graph.weights, strict=True)}

    def between(some, others):
        return sum(weight.get((min(i, j), max(i, j)), 0) for i in some for j in others if i != j)

    strength = [between([node], own[found.of[node]]) for node in range(graph.n)]
    assert found.strength == pytest.approx(strength)
    for c, members in enumerate(own):
        assert found.medoids[c] == min(members, key=lambda i: (-round(strength[i], 9), i))
        sums = {d: between(members, own[d]) / len(own[d]) for d in range(len(own)) if d != c}
        largest = max(sums.values())
        if largest == 0:
            assert found.nearest[c] == -1
        else:
            assert sums[int(found.nearest[c])] == pytest.approx(largest)
    assert [found.of[node] for node in found.order] == sorted(found.of.tolist())
    for node, after in zip(found.order, found.order[1:], strict=False):
        if found.of[node] == found.of[after]:
            assert (-found.strength[node], node) < (-found.strength[after], after)


def test_mean_cosines_are_the_means_over_pairs():
    random = np.random.default_rng(0)
    U = random.normal(size=(9, 4))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    groups = [[0, 3, 4, 8], [1, 2], [5], [6, 7]]
    found = mean_cosines(
        np.stack([U[g].sum(axis=0) for g in groups]), np.asarray([len(g) for g in groups])
    )
    for value, g in zip(found, groups, strict=True):
        pairs = [U[i] @ U[j] for i in g for j in g if i < j]
        assert value == pytest.approx(np.mean(pairs)) if pairs else np.isnan(value)


@given(seeds, st.booleans())
def test_the_best_taxon_of_a_group_is_as_sets_say(seed, known):
    taxonomy = random_graph(seed, n_taxa=12, n=14)
    random = np.random.default_rng(seed)
    if not known:  # some classes are in no taxonomy
        for i in random.choice(14, size=9, replace=False):
            taxonomy.taxon[i] = -1
            for members in taxonomy.members.values():
                if i in members:
                    members.remove(i)
    parents = [
        [(t, 1.0) for _, t in taxonomy.up.out_edges(child)] for child in range(len(taxonomy.up))
    ]
    depth = np.array([taxonomy.depth[t] for t in range(len(parents))])
    ancestry = Ancestry(parents, depth, np.asarray(taxonomy.taxon))
    groups = np.unique(random.integers(0, 6, size=14), return_inverse=True)[1]
    k = int(groups.max()) + 1
    tree = random_tree(k, seed) if k > 1 else None
    flat, whole = group_taxa(ancestry, groups), group_taxa(ancestry, groups, tree)
    under = leaf_sets(tree) if tree is not None else [{0}]
    for node, leaves in enumerate(under):
        own = set(np.flatnonzero(np.isin(groups, list(leaves))).tolist())
        if len(own) == 1:
            (i,) = own
            best = (taxonomy.taxon[i], float(taxonomy.taxon[i] >= 0), int(taxonomy.taxon[i] >= 0))
        else:
            fits = [
                (-2 * len(own & set(m)) / (len(own) + len(m)), len(m), -depth[t], t)
                for t, m in taxonomy.members.items()
                if len(m) > 1 and own & set(m)
            ]
            placed = sum(taxonomy.taxon[i] >= 0 for i in own)
            best = (-1, 0.0, 0)
            if fits and 2 * placed >= len(own):
                f1, _, _, t = min(fits)
                best = (t, -f1, len(own & set(taxonomy.members[t])))
        found = [
            (f.taxon[node], f.f1[node], f.shared[node])
            for f in (flat, whole)
            if node < len(f.taxon)
        ]
        for each in found:
            assert each == (best[0], pytest.approx(best[1]), best[2])


def test_groups_stand_one_after_the_other_in_the_order_of_a_tree():
    tree = random_tree(5, 3)
    sizes = np.array([4, 1, 2, 3, 1])
    spans = class_spans(sizes, tree)
    assert (spans[:, 1] - spans[:, 0]).tolist() == [
        sum(sizes[leaf] for leaf in leaves) for leaves in leaf_sets(tree)
    ]
    assert spans[tree.order, 0].tolist() == [0, *np.cumsum(sizes[tree.order])[:-1].tolist()]
    assert class_spans(sizes).tolist() == [[0, 4], [4, 5], [5, 7], [7, 10], [10, 11]]
