"""Which tensor of a checkpoint is the head: a pure function on names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classrel_db.errors import HeadError, LabelError
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

Shapes = Mapping[str, tuple[int, ...]]

# Classifiers that only help training along, by a component of their dotted names:
# AuxLogits is inception_v3's, aux1 and aux2 are googlenet's.
AUXILIARY = frozenset({"AuxLogits", "aux1", "aux2"})

_LISTED = 6  # tensors named in a message


@dataclass(frozen=True, slots=True)
class HeadKeys:
    """The names of a head's weight and, if it has one, bias."""

    weight: str
    bias: str | None


def find_head(shapes: Shapes, n_labels: int) -> HeadKeys:
    """The head for ``n_labels`` classes among tensors of these ``shapes``.

    It is the one matrix (2-D, or a 1×1 convolution C×D×1×1) named ``weight`` that has a row for
    each label and a matching bias; if none has a bias, the one without. Rows alone prove little:
    a hidden layer can be as wide as the labels are many. So whatever leaves a choice is an error:
    several with a bias, or one with a bias whose outputs another layer may take while a matrix
    without a bias fits too (the first is then a hidden layer, and the second the head).

    Raises
    ------
    HeadError
        None fits, or several do; the message lists them with their shapes.
    LabelError
        The file has one matrix, and it has another number of rows.
    """
    matrices = [key for key in shapes if _is_matrix(shapes[key]) and not _is_auxiliary(key)]
    fitting = [key for key in matrices if shapes[key][0] == n_labels and _leaf(key) == "weight"]
    if not fitting:
        raise _no_candidate(shapes, matrices, n_labels)
    biased = [key for key in fitting if _bias_of(key, shapes)]
    candidates = biased or fitting
    if len(biased) == 1:
        candidates = biased + _possible_successors(biased[0], fitting, shapes)
    if len(candidates) > 1:
        raise HeadError(
            f"{len(candidates)} tensors have {n_labels:,} rows, one per label: "
            f"{_listed(candidates, shapes)}; say which is the head with --head KEY"
        )
    return HeadKeys(candidates[0], _bias_of(candidates[0], shapes))


def named_head(shapes: Shapes, wanted: str) -> HeadKeys:
    """The head that the user named: ``fc.weight``, ``fc``, or an ending of just one such name."""
    for key in (wanted, f"{wanted}.weight"):
        if key in shapes:
            return _checked(key, shapes)
    nested = [key for key in shapes if key.endswith((f".{wanted}", f".{wanted}.weight"))]
    if len(nested) == 1:
        return _checked(nested[0], shapes)
    matrices = [key for key in shapes if _is_matrix(shapes[key])]
    if nested:
        raise HeadError(
            f"--head {quoted(wanted)} fits {len(nested)} tensors: {_listed(nested, shapes)}; "
            f"give the whole name"
        )
    hint = did_you_mean(wanted, matrices) or f"; {_matrices_listed(matrices, shapes)}"
    raise HeadError(f"no tensor {quoted(wanted)} in the file{hint}")


def _checked(key: str, shapes: Shapes) -> HeadKeys:
    if not _is_matrix(shapes[key]):
        raise HeadError(
            f"{_listed([key], shapes)} can't be a head: that is a matrix of classes × dimensions "
            f"or a 1×1 convolution"
        )
    return HeadKeys(key, _bias_of(key, shapes))


def _possible_successors(hidden: str, fitting: list[str], shapes: Shapes) -> list[str]:
    """The dense matrices that may be the head if ``hidden``, the one with a bias, is not.

    That needs a layer that takes as many inputs as ``hidden`` has outputs; where there is none,
    ``hidden`` ends the network.
    """
    width = shapes[hidden][0]
    if not any(
        len(shape) > 1 and shape[1] == width for key, shape in shapes.items() if key != hidden
    ):
        return []
    # 1×1 convolutions without a bias are followed by a batch normalisation: no network ends so
    return [key for key in fitting if key != hidden and len(shapes[key]) == 2]


def _no_candidate(shapes: Shapes, matrices: list[str], n_labels: int) -> HeadError | LabelError:
    if len(matrices) == 1 and _leaf(matrices[0]) == "weight":
        rows = shapes[matrices[0]][0]
        return LabelError(
            f"{n_labels:,} labels for the {rows:,} rows of {quoted(matrices[0])}; "
            f"give one label for each row, in their order"
        )
    nearest = sorted(matrices, key=lambda key: abs(shapes[key][0] - n_labels))
    return HeadError(
        f"no tensor has {n_labels:,} rows, one per label; {_matrices_listed(nearest, shapes)}"
    )


def _matrices_listed(matrices: list[str], shapes: Shapes) -> str:
    if not matrices:
        return "the file has no 2-D tensor: is it a checkpoint without its classifier?"
    return (
        f"the file's 2-D tensors: {_listed(matrices, shapes)}; "
        f"name one with --head KEY, or correct the labels"
    )


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


def _is_auxiliary(key: str) -> bool:
    return not AUXILIARY.isdisjoint(key.split("."))


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _bias_of(weight: str, shapes: Shapes) -> str | None:
    """The sibling ``bias`` of a ``weight`` with C rows, if it has the shape (C,)."""
    if _leaf(weight) != "weight":
        return None
    bias = weight.removesuffix("weight") + "bias"
    return bias if shapes.get(bias) == shapes[weight][:1] else None


def _listed(keys: Iterable[str], shapes: Shapes) -> str:
    shown = [f"{quoted(key)} ({'×'.join(map(str, shapes[key])) or 'scalar'})" for key in keys]
    more = len(shown) - _LISTED
    return ", ".join(shown[:_LISTED]) + (f" and {more} more" if more > 0 else "")
