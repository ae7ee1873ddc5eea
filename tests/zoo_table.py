"""Makes classrel_db/data/zoo_heads.csv: what is known of the zoos' heads without reading them.

    python -m tests.zoo_table

Every model is built without storage, so this takes minutes but no network. Run it when torchvision or timm
has new models.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import timm
import torch
from torchvision import models

from classrel_db.sources.head import find_head
from classrel_db.sources.zoos.timm_labels import heads_of, subset_of
from classrel_db.sources.zoos.torchvision_zoo import TorchvisionSource
from tests.sources.conftest import shapes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = Path(__file__).parent.parent / "classrel_db" / "data" / "zoo_heads.csv"
COLUMNS = ("source", "ref", "classes", "dim", "bias", "file_bytes")

Row = tuple[str, str, int, int, int, int]


def torchvision_rows() -> Iterator[Row]:
    for model in models.list_models(module=models):
        with_classes = [each for each in models.get_model_weights(model) if each.meta["categories"]]
        if not with_classes:
            continue
        _model, shapes = shapes_of(model)
        keys = find_head(shapes, 1000)
        classes, dim = shapes[keys.weight][:2]
        for weights in with_classes:
            ref = f"{model}@{weights.name}"
            size = TorchvisionSource().describe(ref).file_bytes or 0
            yield "torchvision", ref, classes, dim, int(keys.bias is not None), size


def timm_rows() -> Iterator[Row]:
    built: dict[tuple[str, int], tuple[int, int, int, int]] = {}
    for name in timm.list_pretrained():
        cfg = timm.models.get_pretrained_cfg(name)
        if subset_of(cfg) is None:
            continue
        variant = (cfg.architecture, cfg.num_classes)
        if variant not in built:
            print(name, file=sys.stderr)
            built[variant] = timm_head(name, heads_of(cfg)[0])
        yield "timm", name, *built[variant]


def timm_head(name: str, head: str) -> tuple[int, int, int, int]:
    """Classes, dimensions, bias or not, and the bytes of all tensors as float32 of one model."""
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    layer = model.get_submodule(head)
    classes, dim = layer.weight.shape[:2]
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    return classes, dim, int(layer.bias is not None), size


def main() -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(torchvision_rows())
        writer.writerows(timm_rows())


if __name__ == "__main__":
    main()
