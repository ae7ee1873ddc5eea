"""Write a clustered head of argv[1]×argv[2] to argv[3].safetensors, and a label for each row to .txt.

Groups of clusters of about 100 rows each: as of identities or species, of which each has near relatives. In
blocks, and seeded.
"""

import json
import sys
from pathlib import Path

import numpy as np

n_classes, dim, path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
rng = np.random.default_rng(20_250_101)
clusters = max(2, n_classes // 100)
groups = rng.standard_normal((max(2, clusters // 30), dim), dtype=np.float32)
centers = groups[rng.integers(len(groups), size=clusters)]
centers += rng.standard_normal(centers.shape, dtype=np.float32)
length = 4 * n_classes * dim
entry = {"dtype": "F32", "shape": [n_classes, dim], "data_offsets": [0, length]}
header = json.dumps({"fc.weight": entry}).encode()
with path.with_suffix(".safetensors").open("wb") as file:
    file.write(len(header).to_bytes(8, "little") + header)
    for start in range(0, n_classes, 65_536):
        members = rng.integers(clusters, size=min(65_536, n_classes - start))
        rows = centers[members] + rng.standard_normal((len(members), dim), dtype=np.float32)
        file.write(rows.tobytes())
with path.with_suffix(".txt").open("w", encoding="utf-8") as file:
    file.writelines(f"identity {number:08d}\n" for number in range(n_classes))
