"""``check``: is what the database says of each model still so?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db import maths
from classrel_db.catalog.ingest import content_hash
from classrel_db.records import Finding
from classrel_db.storage import arrays, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from classrel_db.records import StoredModel
    from classrel_db.storage.index import IndexCache

_SAMPLED_CLASSES = 16
_COSINE_TOLERANCE = 1e-7  # one unit in the last place of a float32 cosine


def findings(
    connection: DuckDBPyConnection, model: StoredModel, indexes: IndexCache
) -> Iterator[Finding]:
    """Every check of one model, those that build on a failed one left out."""

    def finding(check: str, ok: bool, detail: str) -> Finding:
        return Finding(model.name, check, ok, detail)

    stored_neighbors = min(read.STORED_NEIGHBORS, model.n_classes - 1)
    expected = {
        "classes": model.n_classes,
        "weights": model.n_classes,
        "neighbors": model.n_classes * stored_neighbors,
        "pairs": model.n_pairs,
    }
    counted = read.row_counts(connection, model.model_id)
    wrong = [
        f"{table} has {counted[table]:,} rows instead of {n:,}"
        for table, n in expected.items()
        if counted[table] != n
    ]
    whole = ", ".join(f"{n:,} {table}" for table, n in counted.items())
    yield finding("counts", not wrong, "; ".join(wrong) or whole)
    if wrong:
        return
    rows = arrays.rows(connection, model)
    intact = content_hash(rows) == model.rows_sha256
    yield finding(
        "weights",
        intact,
        "the stored rows hash to what was ingested"
        if intact
        else "the stored rows are not those that were ingested: ingest the head again with --replace",
    )
    if not intact:
        return
    unit_rows = maths.unit(rows)
    sample = np.unique(np.linspace(0, model.n_classes - 1, _SAMPLED_CLASSES).astype(np.int64))
    worst_neighbor, worst_pair = 0.0, 0.0
    for class_idx in sample:
        cosines = maths.cosines_to(unit_rows[class_idx], unit_rows)
        order = np.lexsort((np.arange(model.n_classes), -cosines))
        order = order[order != class_idx][:stored_neighbors]
        listed, listed_cosines = arrays.stored_neighbors(connection, model.model_id, int(class_idx))
        gap = np.abs(cosines[listed] - listed_cosines).max()
        # another order is right only among equals
        swapped = np.abs(cosines[listed] - cosines[order]).max()
        worst_neighbor = max(worst_neighbor, float(gap), float(swapped))
        if model.n_pairs:
            stored = arrays.stored_cosines(
                connection, model.model_id, int(class_idx), model.n_classes
            )
            stored[class_idx] = cosines[class_idx]
            # NaN, where a pair is missing, must not pass
            worst_pair = float(
                np.fmax(worst_pair, np.nan_to_num(np.abs(stored - cosines), nan=9).max())
            )
    for check, worst in (("neighbors", worst_neighbor), ("pairs", worst_pair)):
        if check == "pairs" and not model.n_pairs:
            continue
        yield finding(
            check,
            worst <= _COSINE_TOLERANCE,
            f"{len(sample)} classes computed anew from the weights: largest difference {worst:.1e}",
        )
    state = indexes.state(model.rows_sha256, (model.n_classes, model.dim))
    detail = {
        "ok": "the index file holds these rows",
        "absent": "no index file: it is made when it is needed",
        "damaged": f"{indexes.path(model.rows_sha256)} is damaged: it is made anew when it is needed",
    }[state]
    yield finding("index", state != "damaged", detail)
