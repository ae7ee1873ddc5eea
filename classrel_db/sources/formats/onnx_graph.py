"""The graph of an ONNX model: its linear layers, and what stands between them and the outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# operators whose result is computed from their first input without weights
_PASSING = frozenset({
    "ArgMax", "AveragePool", "Cast", "DequantizeLinear", "Dropout", "Exp", "Expand", "Flatten",
    "GlobalAveragePool", "GlobalMaxPool", "Hardmax", "Identity", "Log", "LogSoftmax",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearSoftmax", "QuantizeLinear", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceSum", "Reshape", "Sigmoid", "Softmax", "Squeeze", "TopK", "Transpose",
    "Unsqueeze",
})  # fmt: skip
# and those that combine several inputs; of constants only single numbers are no weights
_COMBINING = frozenset({"Add", "Div", "Max", "Min", "Mul", "Sub", "Sum"})
# what may stand between a matrix product and the addition of its bias
_CARRYING = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Squeeze",
                       "Unsqueeze"})  # fmt: skip
_LONGEST_CHAIN = 16
# what a Constant is called that is a single number and no tensor
_SINGLE = frozenset({"value_float", "value_int"})


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of the file, and what the graph does to it before it is used.

    Integers stand for ``(number - zero) · scales``, all scales multiplied, along ``axis`` if there
    are several. ``turned`` says that it is used transposed.
    """

    tensor: Any
    scales: tuple[Any, ...] = ()
    zero: Any = None
    axis: int = 0
    turned: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    node: Any
    value: str  # the name of its result
    weight: Constant  # C×D as it is used
    bias: Constant | None
    factor: float = 1.0  # of the weight
    bias_factor: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.weight.tensor.dims[:2]
        return (columns, rows) if self.weight.turned else (rows, columns)


class Graph:
    """The operators of a model and the values that they pass on, by name."""

    def __init__(self, graph: Any) -> None:
        self._nodes = graph.node
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._producers: dict[str, Any] = {}
        self._consumers: dict[str, list[Any]] = {}
        for node in graph.node:
            self._producers.update((name, node) for name in node.output if name)
            for name in filter(None, node.input):
                self._consumers.setdefault(name, []).append(node)
            if node.op_type == "Constant":
                value = _attribute(node, "value")
                if value is not None and node.output:
                    self._tensors[node.output[0]] = value.t

    def layers(self) -> Iterator[Layer]:
        """Every linear layer with constant weights, in the order of the graph."""
        for node in self._nodes:
            read = _READERS.get(node.op_type)
            layer = read(self, node) if read and node.output else None
            if layer is not None:
                yield layer

    def before(self, value: str) -> Sequence[str] | None:
        """What ``last_layer`` asks: the values that ``value`` is computed from without weights."""
        node = self._producers.get(value)
        if node is None:
            return None
        if node.op_type == "Constant" and {each.name for each in node.attribute} & _SINGLE:
            return []
        if node.op_type in _PASSING and node.input:
            return list(node.input[:1])
        if node.op_type in _COMBINING:
            computed = [name for name in node.input if self.constant(name) is None]
            constants = [self.constant(name) for name in node.input]
            single = all(math.prod(each.tensor.dims) == 1 for each in constants if each)
            return computed if single and computed else None
        return None

    def constant(self, name: str) -> Constant | None:
        """The tensor behind ``name``, if there is one and the graph does only simple things to it."""
        turned = False
        for _step in range(_LONGEST_CHAIN):
            if name in self._tensors:
                return Constant(self._tensors[name], turned=turned)
            node = self._producers.get(name)
            if node is None or not node.input:
                return None
            if node.op_type == "DequantizeLinear":
                found = self.quantised(node, 0, 1, 2, axis=_whole(node, "axis", 1))
                blocks = _whole(node, "block_size", 0)
                return None if found is None or blocks else replace(found, turned=turned)
            if node.op_type == "Transpose":
                order = _attribute(node, "perm")
                if order is not None and list(order.ints) != [1, 0]:
                    return None
                turned = not turned
            elif node.op_type not in {"Identity", "Cast"}:
                return None
            name = node.input[0]
        return None

    def quantised(
        self, node: Any, stored: int, scale: int, zero: int, axis: int = 0
    ) -> Constant | None:
        """The constant whose integers, scale and zero point are these inputs of ``node``."""
        found = self._tensor(node, stored)
        by = self._tensor(node, scale)
        if found is None or by is None:
            return None
        return Constant(found, (by,), self._tensor(node, zero), axis)

    def layer(
        self, node: Any, weight: Constant | None, bias: Constant | None = None, **factors: float
    ) -> Layer | None:
        """The layer of ``node`` with this ``weight``, C×D as used, unless that is no such matrix."""
        if weight is None or not _is_matrix(weight):
            return None
        layer = Layer(node, node.output[0], weight, bias, **factors)
        if bias is None:
            return self._biased(layer)
        return layer if math.prod(bias.tensor.dims) == layer.shape[0] else None

    def _biased(self, layer: Layer) -> Layer:
        """``layer`` with the bias that an operator of its own adds, if one does."""
        value = layer.value
        for _step in range(_LONGEST_CHAIN):
            followers = self._consumers.get(value, [])
            if len(followers) != 1 or not followers[0].output:
                break
            node = followers[0]
            added = self._added(node, value)
            if added and _is_row(added, layer.shape[0]):
                return replace(layer, value=node.output[0], bias=added)
            if node.op_type not in _CARRYING or node.input[0] != value:
                break
            value = node.output[0]
        return layer

    def _added(self, node: Any, value: str) -> Constant | None:
        """The constant that ``node`` adds to ``value``, if that is what it does."""
        if node.op_type == "Add":
            others = [name for name in node.input if name != value]
            return self.constant(others[0]) if len(others) == 1 else None
        if node.op_type == "QLinearAdd":
            first = 3 if node.input[0] == value else 0
            return self.quantised(node, first, first + 1, first + 2)
        return None

    def _tensor(self, node: Any, index: int) -> Any:
        """The tensor that is this input of ``node``, None where it is computed or left out."""
        found = self.constant(node.input[index]) if index < len(node.input) else None
        return None if found is None or found.scales or found.turned else found.tensor

    def gemm(self, node: Any) -> Layer | None:
        if len(node.input) < 2:
            return None
        weight = self._turned(self.constant(node.input[1]), not _whole(node, "transB", 0))
        has_bias = len(node.input) > 2 and node.input[2]
        bias = self.constant(node.input[2]) if has_bias else None
        weight = None if has_bias and not bias else weight
        alpha, beta = _attribute(node, "alpha"), _attribute(node, "beta")
        return self.layer(
            node,
            weight,
            bias,
            factor=1.0 if alpha is None else alpha.f,
            bias_factor=1.0 if beta is None else beta.f,
        )

    def matmul(self, node: Any) -> Layer | None:
        if len(node.input) < 2:
            return None
        return self.layer(node, self._turned(self.constant(node.input[1]), True))

    def conv(self, node: Any) -> Layer | None:
        if len(node.input) < 2 or _whole(node, "group", 1) != 1:
            return None
        has_bias = len(node.input) > 2 and node.input[2]
        bias = self.constant(node.input[2]) if has_bias else None
        return self.layer(
            node, None if has_bias and not bias else self.constant(node.input[1]), bias
        )

    def matmul_integer(self, node: Any) -> Layer | None:
        """A layer of dynamic quantisation: the product of integers, Cast, Mul by both scales."""
        stored = self._tensor(node, 1)
        cast = self._only_follower(node, "Cast")
        mul = self._only_follower(cast, "Mul")
        if stored is None or mul is None:
            return None
        scales = [self._scale_of(name) for name in mul.input if name != cast.output[0]]
        if len(scales) != 1 or scales[0] is None:
            return None
        weight = Constant(stored, (scales[0],), self._tensor(node, 3), axis=1, turned=True)
        layer = self.layer(node, weight)
        return layer and self._biased(replace(layer, value=mul.output[0]))

    def qlinear_matmul(self, node: Any) -> Layer | None:
        return self.layer(node, self._turned(self.quantised(node, 3, 4, 5, axis=1), True))

    def qlinear_conv(self, node: Any) -> Layer | None:
        if _whole(node, "group", 1) != 1:
            return None
        return self.layer(node, self.quantised(node, 3, 4, 5), self._product_bias(node, 8))

    def qgemm(self, node: Any) -> Layer | None:
        turned = not _whole(node, "transB", 0)
        weight = self._turned(self.quantised(node, 3, 4, 5, axis=int(turned)), turned)
        alpha = _attribute(node, "alpha")
        factor = 1.0 if alpha is None else alpha.f
        return self.layer(node, weight, self._product_bias(node, 6), factor=factor)

    def _product_bias(self, node: Any, index: int) -> Constant | None:
        """The bias of a quantised layer: its scale is the input's times the weight's."""
        stored, scale = self._tensor(node, index), (self._tensor(node, 1), self._tensor(node, 4))
        return None if stored is None or None in scale else Constant(stored, scale)

    def _only_follower(self, node: Any, op_type: str) -> Any:
        followers = self._consumers.get(node.output[0], []) if node is not None else []
        fits = len(followers) == 1 and followers[0].op_type == op_type and followers[0].output
        return followers[0] if fits else None

    def _scale_of(self, value: str) -> Any:
        """The constant one of two scales whose product is ``value``."""
        node = self._producers.get(value)
        if node is None or node.op_type != "Mul":
            return None
        found = [each for each in (self.constant(name) for name in node.input) if each]
        return found[0].tensor if len(found) == 1 else None

    @staticmethod
    def _turned(constant: Constant | None, turned: bool) -> Constant | None:
        return constant and replace(constant, turned=constant.turned != turned)


_READERS = {
    "Gemm": Graph.gemm,
    "MatMul": Graph.matmul,
    "Conv": Graph.conv,
    "MatMulInteger": Graph.matmul_integer,
    "QLinearMatMul": Graph.qlinear_matmul,
    "QLinearConv": Graph.qlinear_conv,
    "QGemm": Graph.qgemm,
}


def _is_matrix(constant: Constant) -> bool:
    """Whether it is C×D, perhaps as a 1×1 convolution."""
    dims = constant.tensor.dims
    return len(dims) > 1 and min(dims[:2]) > 0 and all(size == 1 for size in dims[2:])


def _is_row(constant: Constant, length: int) -> bool:
    dims = constant.tensor.dims
    return bool(math.prod(dims) == length == max(dims, default=0))


def _attribute(node: Any, name: str) -> Any:
    return next((each for each in node.attribute if each.name == name), None)


def _whole(node: Any, name: str, default: int) -> int:
    found = _attribute(node, name)
    return default if found is None else int(found.i)
