"""Linear layers in networks that are kept with their graph: which is the head, and its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from classrel_db.errors import HeadError
from classrel_db.sources.formats.dtypes import Tensor
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from numpy.typing import NDArray

    from classrel_db.sources.head import Shapes

Value = TypeVar("Value", bound="Hashable")

_LISTED = 6  # layers named in a message


def last_layer(
    outputs: Iterable[Value],
    layers: Mapping[Value, str],
    before: Callable[[Value], Iterable[Value] | None],
    shapes: Shapes,
    shown: str,
) -> str:
    """The key of the linear layer that the network's ``outputs`` come from, with nothing in between.

    ``layers`` has the key of the layer that computes a value. ``before`` names the values that another
    one is computed from without weights, as softmax is; None where that can't be said. An output
    counts if all the ways back from it end in the same layer. ``shown`` is the file in messages.

    Raises
    ------
    HeadError
        There is no such layer, or there are several; the message lists them, or all that there are.
    """
    found = {key for output in outputs for key in _behind(output, layers, before)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise HeadError(
            f"{shown}: its outputs come from {len(found)} linear layers: {_listed(sorted(found), shapes)}; "
            f"say which is the head with --head KEY"
        )
    weights = [key for key in shapes if len(shapes[key]) > 1]
    if not weights:
        raise HeadError(
            f"{shown} has no linear layer (fully connected or a 1×1 convolution) with weights of its "
            f"own: is it a network without its classifier?"
        )
    raise HeadError(
        f"{shown}: no linear layer ends the network, or what follows it changes the classes; its last "
        f"linear layers: {_listed(weights[::-1], shapes)}; if one is the head, name it with --head KEY"
    )


def dequantised(
    stored: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | int, dtype: str
) -> Tensor:
    """The numbers ``(stored - zero) · scale`` of ``stored`` (C, …) in the format ``dtype``.

    ``scale`` and ``zero`` have one number, or one for each of the C rows.
    """
    per_row = (-1,) + (1,) * (stored.ndim - 1)
    step = scale.astype(np.float32).reshape(per_row if scale.size > 1 else ())
    zeros = np.asarray(zero)
    # formats of up to 16 bits and their differences are exact in float32; a bias may have 32
    exact = np.dtype("f4" if stored.itemsize <= 2 else "f8")
    with np.errstate(over="ignore", invalid="ignore"):  # whoever takes the head refuses those
        shift: NDArray[Any] = zeros.astype(exact).reshape(per_row if zeros.size > 1 else ())
        numbers: NDArray[Any] = stored.astype(exact) - shift
        return Tensor((numbers * step).astype(np.float32, copy=False), dtype, step)


def _behind(
    output: Value,
    layers: Mapping[Value, str],
    before: Callable[[Value], Iterable[Value] | None],
) -> set[str]:
    """The layers that all the ways back from ``output`` end in; none if one way ends elsewhere."""
    found: set[str] = set()
    seen: set[Value] = set()
    waiting = [output]
    while waiting:
        value = waiting.pop()
        if value in seen:  # a damaged graph can run in circles
            continue
        seen.add(value)
        if value in layers:
            found.add(layers[value])
            continue
        earlier = before(value)
        if earlier is None:
            return set()
        waiting.extend(earlier)
    return found


def _listed(keys: Iterable[str], shapes: Shapes) -> str:
    shown = [f"{quoted(key)} ({'×'.join(map(str, shapes[key]))})" for key in keys]
    more = len(shown) - _LISTED
    return ", ".join(shown[:_LISTED]) + (f" and {more} more" if more > 0 else "")
