"""Heads that have something in common, and naive formulas of what: loops and scipy, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from oracle import cosine_matrix, standardized
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from classrel_db import Catalog

COLUMNS = [
    "model_a", "model_b", "measure", "n", "estimate", "low", "high", "p_value", "null_value",
    "q_value", "normalization", "k", "permutations", "resamples", "seed",
]  # fmt: skip
MEASURES = [
    "rsa-spearman", "rsa-pearson", "rsa-kendall", "second-order-cosine", "cka", "cka-debiased",
    "procrustes", "knn-jaccard", "rbo",
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A head with its concepts, in its own order of classes."""

    name: str
    weight: np.ndarray
    concepts: tuple[str, ...]
    labels: tuple[str, ...]

    def at(self, concepts: Sequence[str]) -> list[int]:
        return [self.concepts.index(concept) for concept in concepts]


def made(
    name: str,
    concepts: Sequence[str],
    *,
    dim: int = 7,
    seed: int = 0,
    noise: float = 1.0,
    labels: Sequence[str] | None = None,
    weight: np.ndarray | None = None,
) -> Made:
    """A head in which a concept has the same traits as in any other, seen through other features."""
    random = np.random.default_rng([seed, 77])
    if weight is None:
        traits = np.stack(
            [np.random.default_rng([1, *concept.encode()]).normal(size=5) for concept in concepts]
        )
        weight = traits @ random.normal(size=(5, dim)) + noise * random.normal(
            size=(len(concepts), dim)
        )
    return Made(
        name,
        np.asarray(weight, dtype=np.float32),
        tuple(concepts),
        tuple(labels or [f"the {concept}" for concept in concepts]),
    )


def add(catalog: Catalog, folder: Path, *heads: Made, **options: Any) -> None:
    """Ingest heads under their names."""
    for head in heads:
        path = folder / f"{head.name}.npz"
        np.savez(path, weight=head.weight, labels=head.labels, concepts=head.concepts)
        catalog.ingest(path, name=head.name, **options)


def dicts(rows: Any) -> list[dict[str, Any]]:
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def numbers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows without the names of the models."""
    return [{k: v for k, v in row.items() if k not in {"model_a", "model_b"}} for row in rows]


def normalized(weight: np.ndarray, normalization: str = "standardize") -> np.ndarray:
    W = weight.astype(np.float64)
    if normalization == "standardize":
        return standardized(W)
    if normalization == "center":
        W = W - W.mean(axis=0)
        return W / np.linalg.norm(W, axis=1, keepdims=True)
    return W


def shared(a: Made, b: Made) -> list[str]:
    return sorted(set(a.concepts) & set(b.concepts))


def aligned(
    a: Made, b: Made, normalization: str = "standardize", concepts: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the shared classes, normalised with the whole head they are of."""
    both = shared(a, b) if concepts is None else concepts
    return (
        normalized(a.weight, normalization)[a.at(both)],
        normalized(b.weight, normalization)[b.at(both)],
    )


def agreement(measure: str, A: np.ndarray, B: np.ndarray, k: int | None = None) -> float:
    """One measure of two stacks of normalised rows of the same classes."""
    n = len(A)
    S, T = cosine_matrix(A), cosine_matrix(B)
    above = np.triu_indices(n, 1)
    x, y = S[above], T[above]
    if measure == "rsa-spearman":
        return float(stats.spearmanr(x, y).statistic)
    if measure == "rsa-pearson":
        return float(np.corrcoef(x, y)[0, 1])
    if measure == "rsa-kendall":
        signs = [
            np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(len(x)), 2)
        ]
        return float(np.mean(signs))
    if measure == "second-order-cosine":
        u, v = 1 - x, 1 - y
        return float(u @ v / np.sqrt((u @ u) * (v @ v)))
    if measure == "cka":
        return _cka(A @ A.T, B @ B.T, _hsic)
    if measure == "cka-debiased":
        return _cka(A @ A.T, B @ B.T, _unbiased_hsic)
    if measure == "procrustes":
        X, Y = (rows - rows.mean(axis=0) for rows in (A, B))
        nuclear = np.linalg.svd(X.T @ Y, compute_uv=False).sum()
        return float(np.arccos(nuclear / (np.linalg.norm(X) * np.linalg.norm(Y))))
    if measure == "knn-jaccard":
        k = min(25, (n - 1) // 2) if k is None else k
        near = [[set(nearest(M, i)[:k]) for i in range(n)] for M in (S, T)]
        return float(np.mean([len(p & q) / len(p | q) for p, q in zip(*near, strict=True)]))
    assert measure == "rbo"
    ranked = [[nearest(M, i) for i in range(n)] for M in (S, T)]
    return float(np.mean([_rbo(p, q) for p, q in zip(*ranked, strict=True)]))


def nearest(cosine: np.ndarray, i: int) -> list[int]:
    """The other classes of one class, nearest first, equal ones by index."""
    order = np.argsort(-cosine[i].astype(np.float32), kind="stable")
    return [int(j) for j in order if j != i]


def _cka(K, L, hsic):
    return float(hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L)))


def _hsic(K, L):
    H = np.eye(len(K)) - 1 / len(K)
    return np.trace(K @ H @ L @ H)


def _unbiased_hsic(K, L):
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    return (
        np.trace(K @ L)
        + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ K @ L @ one)
    ) / (n * (n - 3))


def _rbo(first, second, p=0.9):
    """Extrapolated rank-biased overlap of two rankings of the same things (Webber et al., eq. 30)."""
    depth = len(first)
    total = 0.0
    for d in range(1, depth + 1):
        both = len(set(first[:d]) & set(second[:d]))
        total += p**d * both / d
    return (1 - p) / p * total + p**depth
