"""What the questions are asked of. Each is made by a child process, which keeps the bench small.

``python -m tests.bench.fixtures NAME FOLDER`` writes one of them into a folder.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from tests.bench.measure import run

RESNET50_FILE = "resnet50-11ad3fa6.pth"  # what torchvision calls IMAGENET1K_V2
LARGE = (21_841, 768)  # the classes of ImageNet-21k, the width of a ViT-B
MANY = 100  # models in the database `many`, of 1,000 classes each
_SEED = 20_250_101


def make(name: str, folder: Path) -> None:
    """Fill ``folder`` with the fixture ``name``, in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "tests.bench.fixtures", name, folder)


def resnet50(folder: Path) -> None:
    """A resnet50 of random weights, 102 MB, as torchvision's own file and as safetensors."""
    import torch
    from safetensors.torch import save_file
    from torchvision import models

    torch.manual_seed(_SEED)
    state = models.resnet50(weights=None).state_dict()
    torch.save(state, folder / RESNET50_FILE)
    save_file(state, folder / "resnet50.safetensors")


def tiny(folder: Path) -> None:
    """A head of 1000×8 in both formats: reading it first imports all that reading needs."""
    import torch
    from safetensors.torch import save_file

    state = torch.nn.Linear(8, 1000).state_dict(prefix="fc.")
    torch.save(state, folder / "tiny.pth")
    save_file(state, folder / "tiny.safetensors")


def head(folder: Path) -> None:
    """A real 1000×1280 head alone in a safetensors file, with labels and WordNet ids as csv."""
    from safetensors.numpy import save_file

    from classrel_db import sources

    real = sources.load(sources.locate("efficientnet_lite0"))
    save_file({"fc.weight": real.weight, "fc.bias": real.bias}, folder / "head.safetensors")
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "concept"])
        writer.writerows(zip(real.space.labels, real.space.concepts, strict=True))


def large(folder: Path) -> None:
    """A clustered head of ImageNet-21k's size: 40 groups of 15 families, rows around them."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(_SEED)
    n_classes, dim = LARGE
    groups = rng.standard_normal((40, dim), dtype=np.float32)
    families = groups.repeat(15, axis=0) + rng.standard_normal((600, dim), dtype=np.float32)
    members = rng.integers(0, len(families), n_classes)
    weight = families[members] + 1.5 * rng.standard_normal(LARGE, dtype=np.float32)
    save_file({"fc.weight": weight, "fc.bias": weight[:, 0].copy()}, folder / "large.safetensors")
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "concept"])
        writer.writerows((f"class {i:05d}", f"c{i:05d}") for i in range(n_classes))


def many(folder: Path) -> None:
    """A database of 100 models: the three real heads, each rotated and with ever more noise."""
    import numpy as np

    from classrel_db import sources
    from classrel_db.catalog.ingest import Prepared, ingest_head
    from classrel_db.records import Head, IngestOptions
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache, folder_of

    path = folder / "many.duckdb"
    database, indexes = Database(path), IndexCache(folder_of(path))
    options = IngestOptions(None, None, "standardize", "auto", replace=False, full=False)
    real = [sources.load(sources.locate(f"efficientnet_lite{size}")) for size in range(3)]
    for number in range(MANY):
        rng = np.random.default_rng(number)
        base = real[number % 3]
        n_classes, dim = base.weight.shape
        basis, _ = np.linalg.qr(rng.standard_normal((dim, 256)))
        noise = 0.02 * number / MANY * rng.standard_normal((n_classes, 256))
        weight = (base.weight @ basis + noise).astype("f4")
        head = Head(weight, None, base.space, "bench", "x", "k", 1, 1)
        prepared = Prepared(head, f"model{number:03d}", options)
        ingest_head(database, indexes, prepared, options, lambda step: None)


def heads(folder: Path) -> None:
    """A hundred heads of 1000×1280, each a safetensors file: the real ones, each with noise of its own."""
    import numpy as np
    from safetensors.numpy import save_file

    from classrel_db import sources

    real = [sources.load(sources.locate(f"efficientnet_lite{size}")) for size in range(3)]
    for number in range(MANY):
        rng = np.random.default_rng(number)
        base = real[number % 3].weight
        weight = base + 0.02 * rng.standard_normal(base.shape, dtype=np.float32)
        tensors = {"fc.weight": weight, "fc.bias": weight[:, 0].copy()}
        save_file(tensors, folder / f"head{number:03d}.safetensors")


def labels(folder: Path) -> None:
    """A narrow head with 22,000 labels, each of two of ImageNet's and a number."""
    import numpy as np

    from classrel_db.sources.labels import imagenet1k

    rng = np.random.default_rng(_SEED)
    known = imagenet1k().labels
    others = rng.integers(0, len(known), 22_000)
    named = [f"{known[i % 1000]} {known[other]} {i}" for i, other in enumerate(others)]
    np.savez(folder / "labels.npz", weight=rng.standard_normal((22_000, 16)), labels=named)


if __name__ == "__main__":
    {f.__name__: f for f in (resnet50, tiny, head, heads, large, many, labels)}[sys.argv[1]](
        Path(sys.argv[2])
    )
