"""The part of a catalog that gathers what the explorer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.catalog.agreement import Agreement
from classrel_db.catalog.arguments import DEFAULT_K, MOST_DRAWS, require_count
from classrel_db.catalog.trees import Trees
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classrel_db.catalog.reporting import Report
    from classrel_db.records import Linkage, Progress, TreeDistance

_METHOD: Linkage = "ward"
_DISTANCE: TreeDistance = "chord"
_MEASURE = "rsa-spearman"  # found for the report where it is not stored


class Reported(Agreement, Trees):
    """Everything of a few models, for a page that answers without the database."""

    def report(
        self,
        models: str | Sequence[str] | None = None,
        *,
        k: int = DEFAULT_K,
        resamples: int | None = None,
        seed: int = 0,
        taxonomy: str = "wordnet",
        progress: Progress | None = None,
    ) -> Report:
        """What :func:`classrel_db.report.write` puts into a page, of ``models`` or of all.

        ``k`` neighbours a class have support, of ``resamples`` bootstrap resamples of the dimensions: by
        default 100 for heads of up to 2,000 classes and none for larger ones; 0 is none for any. Trees
        (ward, chord) are named by ``taxonomy``; those of up to 12,000 classes that are not stored yet are
        made and kept. Of larger heads than 2,000 classes the matrix is averaged over blocks. Comparisons
        that are stored are taken from there; of up to 15 couples of models the missing ones are
        computed, without p and interval.

        Raises UnknownModelError, ArgumentError.
        """
        from classrel_db.catalog import reporting
        from classrel_db.catalog.tree_rows import require_taxonomy

        require_count("k", k, 1, read.STORED_NEIGHBORS, "nearest classes are stored")
        require_count("seed", seed, 0, 2**63 - 1)
        if resamples is not None:
            require_count("resamples", resamples, 0, MOST_DRAWS)
        chosen = self._known_now().lookup.models(models)
        require_taxonomy(self._database.reader(), taxonomy)
        settings = reporting.Settings(k, resamples, seed, taxonomy)
        with self._forest(_METHOD, _DISTANCE, progress) as forest:
            comparing = self._comparing([_MEASURE], None, 0, 0, seed, None, False, None)
            return reporting.gathered(forest, comparing, chosen, settings)
