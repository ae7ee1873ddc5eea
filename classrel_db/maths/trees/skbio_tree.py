"""Our trees as scikit-bio has them, for its writers and its distances between trees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from skbio import TreeNode


def tree_node(
    parents: Sequence[int] | NDArray,  # type: ignore[type-arg]
    lengths: Sequence[float | None] | NDArray | None,  # type: ignore[type-arg]
    names: Sequence[str | None],
) -> TreeNode:
    """The root of a scikit-bio tree of m ≥ 1 nodes, given by position in any order.

    ``parents`` (m,) are positions, -1 for the root; ``lengths`` (m,) those of the branches to the
    parents, None or NaN for none, as the root has none; ``names`` (m,) None for none. Children stand
    in the order of their positions. Raises ValueError unless it is one tree.
    """
    # seconds: whoever never asks for such a tree doesn't pay
    from skbio import TreeNode

    above = [int(parent) for parent in parents]
    if not len(above) == len(names) == (len(above) if lengths is None else len(lengths)):
        raise ValueError("parents, lengths and names are not as many")
    roots = [number for number, parent in enumerate(above) if parent == -1]
    if len(roots) != 1:
        raise ValueError(f"a tree has one root, not {len(roots)}")
    if not all(-1 <= parent < len(above) for parent in above):
        raise ValueError("a parent is no node of the tree")
    nodes = [TreeNode(name=name) for name in names]
    for number, parent in enumerate(above):
        length = None if lengths is None else lengths[number]
        if parent == -1:
            continue
        if length is not None and not math.isnan(length):
            nodes[number].length = float(length)
        # `append` searches the whole tree for caches to clear, of which a new one has none
        nodes[number].parent = nodes[parent]
        nodes[parent].children.append(nodes[number])
    reached, waiting = 0, [roots[0]]
    places = {id(node): number for number, node in enumerate(nodes)}
    while waiting:
        reached += 1
        waiting.extend(places[id(child)] for child in nodes[waiting.pop()].children)
    if reached != len(nodes):
        raise ValueError("some nodes don't hang on the root")
    return nodes[roots[0]]
