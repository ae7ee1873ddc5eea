"""As many marks as one of classrel's figures has, by matplotlib alone: WHICH FILE."""

import sys

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

which, file = sys.argv[1:]
random = np.random.default_rng(0)
n = 1_000
if which in {"heatmap", "images"}:
    figure = Figure(figsize=(7.2, 3.3))
    for axis in figure.subplots(1, 2):
        image = axis.imshow(random.normal(size=(n, n)))
        figure.colorbar(image, ax=axis)
    if which == "heatmap":
        axis = figure.add_axes((0, 0, 0.1, 1))
        axis.add_collection(LineCollection(random.random((2 * n - 2, 3, 2)), linewidths=0.3))
        for place in random.random(12):
            axis.text(0.5, place, "self-propelled vehicle (43)")
else:
    figure = Figure(figsize=(7.2, 5.1))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-1, 1), ylim=(-1, 1))
    axis.axis("off")
    axis.add_collection(LineCollection(random.uniform(-1, 1, (2 * n - 2, 5, 2)), linewidths=0.35))
    axis.add_collection(PolyCollection(random.uniform(-1, 1, (24, 20, 2))))
    for x, y, angle in random.uniform(-1, 1, (n, 3)):
        axis.text(x, y, "American lobster", size=1.2, rotation=180 * angle, rotation_mode="anchor")
    for x, y in random.uniform(-1, 1, (24, 2)):
        axis.text(x, y, "musical instrument (22)", size=6)
        axis.plot([0, x], [0, y], linewidth=0.8)
figure.savefig(file, dpi=300)
