"""The measures of agreement as their papers write them: loops and whole matrices, none of the package.

Each takes the rows of two heads, the k of the nearest, and which classes were ``drawn``, some more
than once: pairs of a class with its own copy are left out.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import scipy
from oracle import cosine_matrix, nearest

PERSISTENCE = 0.9
DEPTH = 200


def related(
    n: int, dims: tuple[int, int] = (8, 11), noise: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Two heads that share a part: rows (n×D) with their mean over the classes at 0."""
    random = np.random.default_rng([seed, n, *dims])
    base = random.normal(size=(n, 6))
    found = [
        base @ random.normal(size=(6, dim)) + noise * math.sqrt(6) * random.normal(size=(n, dim))
        for dim in dims
    ]
    return tuple(rows - rows.mean(axis=0) for rows in found)


def pair_values(rows, drawn):
    """The cosines of all pairs of what was drawn, and which two classes each pair is of."""
    cosine = cosine_matrix(rows)
    pairs = [sorted(two) for two in itertools.combinations(drawn, 2) if two[0] != two[1]]
    return np.array([cosine[a, b] for a, b in pairs]), pairs


def both(A, B, drawn):
    drawn = range(len(A)) if drawn is None else drawn
    x, pairs = pair_values(A, drawn)
    y, _ = pair_values(B, drawn)
    return x, y, pairs


def spearman(A, B, k, drawn=None):
    x, y, _ = both(A, B, drawn)
    return scipy.stats.spearmanr(x, y).statistic


def pearson(A, B, k, drawn=None):
    x, y, _ = both(A, B, drawn)
    return scipy.stats.pearsonr(x, y).statistic


def kendall(A, B, k, drawn=None):
    """Every pair of pairs; copies of one pair of classes are not compared with each other."""
    x, y, pairs = both(A, B, drawn)
    concordance = compared = 0
    for one, other in itertools.combinations(range(len(x)), 2):
        if pairs[one] != pairs[other]:
            compared += 1
            concordance += np.sign(x[one] - x[other]) * np.sign(y[one] - y[other])
    return concordance / compared


def second_order_cosine(A, B, k, drawn=None):
    x, y, _ = both(A, B, drawn)
    return 1 - scipy.spatial.distance.cosine(1 - x, 1 - y)


def grams(A, B, drawn):
    """The inner products of what was drawn, about the mean of all classes; none of copies."""
    drawn = np.arange(len(A)) if drawn is None else np.asarray(drawn)
    copies = (drawn[:, None] == drawn[None, :]) & ~np.eye(len(drawn), dtype=bool)
    for rows in (A, B):
        centered = rows - rows.mean(axis=0)
        gram = (centered @ centered.T)[np.ix_(drawn, drawn)]
        gram[copies] = 0
        yield gram


def hsic(K, L):
    n = len(K)
    H = np.eye(n) - np.ones((n, n)) / n
    return np.trace(K @ H @ L @ H) / (n - 1) ** 2


def unbiased_hsic(K, L):
    """Song et al. 2012, equation 5, every sum written out."""
    n = len(K)
    trace = sums_k = sums_l = through = 0.0
    for i, j in itertools.permutations(range(n), 2):
        trace += K[i, j] * L[j, i]
        sums_k += K[i, j]
        sums_l += L[i, j]
        through += K[i, j] * sum(L[j, q] for q in range(n) if q != j)
    return (trace + sums_k * sums_l / ((n - 1) * (n - 2)) - 2 * through / (n - 2)) / (n * (n - 3))


def cka(A, B, k, drawn=None):
    K, L = grams(A, B, drawn)
    return hsic(K, L) / math.sqrt(hsic(K, K) * hsic(L, L))


def debiased_cka(A, B, k, drawn=None):
    K, L = grams(A, B, drawn)
    return unbiased_hsic(K, L) / math.sqrt(unbiased_hsic(K, K) * unbiased_hsic(L, L))


def padded(A, B):
    """Centred, of size 1 and, with zeros, equally wide."""
    dim = max(A.shape[1], B.shape[1])
    for rows in (A, B):
        centered = rows - rows.mean(axis=0)
        yield np.pad(centered / np.linalg.norm(centered), [(0, 0), (0, dim - rows.shape[1])])


def procrustes(A, B, k, drawn=None):
    """With the rotation that fits all classes, also where only some were drawn."""
    X, Y = padded(A, B)
    R, _ = scipy.linalg.orthogonal_procrustes(X, Y)
    drawn = np.arange(len(A)) if drawn is None else np.asarray(drawn)
    P, Q = (X @ R)[drawn], Y[drawn]
    return math.acos(min(1.0, np.sum(P * Q) / (np.linalg.norm(P) * np.linalg.norm(Q))))


def rankings(A, B):
    cosines = [cosine_matrix(rows) for rows in (A, B)]
    for c in range(len(A)):
        yield tuple(nearest(cosine[c], len(A) - 1, (c,)) for cosine in cosines)


def jaccard(A, B, k, drawn=None):
    """Neighbours among all classes; each counts as often as it was drawn."""
    drawn = list(range(len(A)) if drawn is None else drawn)
    found = []
    ranked = list(rankings(A, B))
    for c in drawn:
        near, there = (set(ranking[:k]) for ranking in ranked[c])
        either = [other for other in drawn if other in near | there]
        if either:
            found.append(sum(other in near & there for other in either) / len(either))
    return np.mean(found)


def extended_overlap(first, second, p=PERSISTENCE, depth=DEPTH):
    """RBO_ext of two rankings of the same things: Webber, Moffat & Zobel 2010, equation 30."""
    depth = min(len(first), depth)
    shared = [len(set(first[:d]) & set(second[:d])) for d in range(1, depth + 1)]
    series = sum(x / d * p**d for d, x in enumerate(shared, start=1))
    return shared[-1] / depth * p**depth + (1 - p) / p * series


def place_weight(place, depth, p=PERSISTENCE):
    """What one shared thing adds to RBO_ext by its worse place."""
    if place > depth:
        return 0.0
    return sum((1 - p) * p ** (d - 1) / d for d in range(place, depth + 1)) + p**depth / depth


def rank_biased_overlap(A, B, k, drawn=None):
    """The sum over depths; of a resample the sum of what each neighbour adds, as often as drawn."""
    if drawn is None:
        return np.mean([extended_overlap(*two) for two in rankings(A, B)])
    depth = min(len(A) - 1, DEPTH)
    ranked = list(rankings(A, B))
    found = []
    for c in drawn:
        shared = whole = 0.0
        for other in drawn:
            if other != c:
                here, there = (ranking.index(other) + 1 for ranking in ranked[c])
                shared += place_weight(max(here, there), depth)
                whole += (place_weight(here, depth) + place_weight(there, depth)) / 2
        if whole > 0:
            found.append(shared / whole)
    return np.mean(found)


NAIVE = {
    "rsa-spearman": spearman,
    "rsa-pearson": pearson,
    "rsa-kendall": kendall,
    "second-order-cosine": second_order_cosine,
    "cka": cka,
    "cka-debiased": debiased_cka,
    "procrustes": procrustes,
    "knn-jaccard": jaccard,
    "rbo": rank_biased_overlap,
}
