"""The measures of agreement between two heads, by name."""

from __future__ import annotations

from types import MappingProxyType

from classrel_db.maths.measures.base import Measure, random_head
from classrel_db.maths.measures.cka import CKA
from classrel_db.maths.measures.correlation import (
    Correlation,
    Kendall,
    SecondOrderCosine,
    Spearman,
)
from classrel_db.maths.measures.neighbors import Jaccard, RankBiasedOverlap
from classrel_db.maths.measures.procrustes import Procrustes

_RSA = "Kriegeskorte, Mur & Bandettini 2008, Frontiers in Systems Neuroscience 2:4"
_CKA = "Kornblith, Norouzi, Lee & Hinton 2019, ICML"

MEASURES = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            Spearman(
                "rsa-spearman",
                "representational similarity analysis, Spearman",
                "1: both models put the pairs of classes in the same order of likeness; 0: unrelated",
                "Spearman correlation of cos_A(i,j) and cos_B(i,j) over all pairs i < j of shared classes",
                _RSA,
            ),
            Correlation(
                "rsa-pearson",
                "representational similarity analysis, Pearson",
                "1: cosines in proportion; 0: unrelated; the few very alike pairs weigh most",
                "Pearson correlation of cos_A(i,j) and cos_B(i,j) over all pairs i < j of shared classes",
                _RSA,
            ),
            Kendall(
                "rsa-kendall",
                "representational similarity analysis, Kendall's tau-a",
                "t: of two pairs taken at random, (1+t)/2 are ordered alike by both models",
                "(concordant - discordant) / (N(N-1)/2) over the N pairs of shared classes, ties counting 0",
                "Nili et al. 2014, PLoS Computational Biology 10:e1003553",
            ),
            SecondOrderCosine(
                "second-order-cosine",
                "cosine of the dissimilarities",
                "near 1 for any two heads, for dissimilarities are all near 1: hold it against its null",
                "Σ x·y / sqrt(Σ x² · Σ y²) over all pairs i < j, x = 1 - cos_A(i,j), y = 1 - cos_B(i,j)",
                "Kriegeskorte & Diedrichsen 2019, Annual Review of Neuroscience 42",
                bounds=(0.0, 1.0),
            ),
            CKA(
                "cka",
                "linear centred kernel alignment",
                "1: equal but for rotation and scale; its null is far from 0 unless D is far below n",
                "HSIC(K,L) / sqrt(HSIC(K,K)·HSIC(L,L)), HSIC(K,L) = tr(KHLH), "
                "K = XXᵀ, L = YYᵀ, H = I - 11ᵀ/n",
                _CKA,
                bounds=(0.0, 1.0),
            ),
            CKA(
                "cka-debiased",
                "linear centred kernel alignment, debiased",
                "1: equal but for rotation and scale; 0: unrelated, whatever the widths of the heads",
                "as cka, with the unbiased HSIC: [tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n-1)(n-2)) - 2·1ᵀK̃L̃1/(n-2)] / "
                "(n(n-3)), K̃ and L̃ without their diagonals",
                "Song et al. 2012, JMLR 13; Nguyen, Raghu & Kornblith 2021, ICLR",
                debiased=True,
            ),
            Procrustes(
                "procrustes",
                "angular Procrustes distance, radians",
                "a distance: 0 is the same shape but for rotation and scale; hold it against its null",
                "arccos ‖XᵀY‖_* with columns centred and ‖X‖_F = ‖Y‖_F = 1; the narrower head is padded with "
                "zeros",
                "Williams, Kunz, Kornblith & Linderman 2021, NeurIPS",
                at_self=0.0,
                bounds=(0.0, 1.5707963267948966),
                most_permutations=99,
            ),
            Jaccard(
                "knn-jaccard",
                "Jaccard index of the k nearest classes",
                "of the classes among the k nearest in either model, the share that is so in both; mean",
                "mean over classes of |N_A ∩ N_B| / |N_A ∪ N_B|, N the k nearest among the shared classes",
                "Klabunde et al. 2025, ACM Computing Surveys 57",
                bounds=(0.0, 1.0),
                uses_k=True,
            ),
            RankBiasedOverlap(
                "rbo",
                "rank-biased overlap of the neighbours",
                "1: every class has its neighbours in the same order in both; the nearest count most",
                "mean over classes of RBO_ext at p = 0.9 of the other shared classes, ranked by cosine",
                "Webber, Moffat & Zobel 2010, ACM Transactions on Information Systems 28",
                bounds=(0.0, 1.0),
            ),
        )
    }
)

__all__ = ["MEASURES", "Measure", "random_head"]
