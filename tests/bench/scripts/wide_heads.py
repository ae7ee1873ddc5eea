"""Heads whose neighbours take their time, with labels inside: FOLDER N CLASSES DIM."""

import sys
from pathlib import Path

import numpy as np

folder, (count, n_classes, dim) = Path(sys.argv[1]), map(int, sys.argv[2:5])
labels = [f"class {i:05d}" for i in range(n_classes)]
for number in range(count):
    rng = np.random.default_rng(number)
    groups = rng.standard_normal((200, dim), dtype=np.float32)
    weight = groups[rng.integers(0, len(groups), n_classes)]
    weight += rng.standard_normal((n_classes, dim), dtype=np.float32)
    np.savez(folder / f"wide{number}.npz", weight=weight, labels=labels)
