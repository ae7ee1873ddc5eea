"""Add the models FIRST to LAST - 1 of a made zoo to a DATABASE, of 1,000 ImageNet classes each.

All see the same likeness of the classes, 20 kinds of 250 sorts, each through 64 to 256 features and with
noise of its own. Straight into the tables, in the order in which an ingest writes them: a commit a model.
"""

import sys
from pathlib import Path

import numpy as np

from classrel_db import maths
from classrel_db.catalog.ingest import concepts_hash, content_hash
from classrel_db.records import StoredModel
from classrel_db.sources.labels import imagenet1k
from classrel_db.storage import write
from classrel_db.storage.database import Database
from classrel_db.storage.transaction import transaction

path, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
N, NEAR, SEED = 1_000, 100, 20_250_101
SPACE = imagenet1k()

rng = np.random.default_rng(SEED)
TRAITS = (
    rng.standard_normal((20, 48)).repeat(50, axis=0)
    + rng.standard_normal((250, 48)).repeat(4, axis=0)
    + rng.standard_normal((N, 48))
).astype("f4")


def head(number: int) -> np.ndarray:
    own = np.random.default_rng([SEED, number])
    dim = (64, 96, 128, 256)[number % 4]
    seen = TRAITS @ own.standard_normal((48, dim), dtype="f4")
    return seen + own.uniform(4, 12) * own.standard_normal((N, dim), dtype="f4")


def nearest(cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    falling = -cosines
    np.fill_diagonal(falling, np.inf)
    order = np.argsort(falling, axis=1, kind="stable")[:, :NEAR].astype(np.int32)
    return order, np.take_along_axis(cosines, order, axis=1)


with Database(path).writer() as connection:
    for number in range(first, last):
        weight = head(number)
        found = maths.normalize(weight, "standardize")
        ((_, cosines),) = maths.cosine_blocks(maths.unit(found.rows))
        with transaction(connection):
            model = StoredModel(
                model_id=write.next_model_id(connection),
                name=f"model{number:04d}",
                source="bench",
                uri="made",
                head_key="weight",
                label_space=SPACE.name,
                concepts_sha256=concepts_hash(SPACE.concepts),
                normalization="standardize",
                n_classes=N,
                dim=weight.shape[1],
                n_pairs=N * (N - 1) // 2,
                weights_sha256=content_hash(weight, None),
                rows_sha256=content_hash(found.rows),
                bytes_read=weight.nbytes,
                bytes_total=weight.nbytes,
                **dict.fromkeys(
                    ("revision", "etag", "dtype", "weight_error", "cosine_error", "license")
                ),
                **dict.fromkeys(("reference", "versions")),
            )
            write.insert_model(connection, model, None)
            statistics = {each: getattr(found, each) for each in ("mean", "std", "norm", "scale")}
            write.insert_classes(connection, model.model_id, SPACE, None, statistics)
            write.insert_weights(connection, model.model_id, found.rows)
            write.insert_pairs(connection, model.model_id, [(0, cosines)], lambda _written: None)
            write.insert_neighbors(connection, model.model_id, *nearest(cosines))
