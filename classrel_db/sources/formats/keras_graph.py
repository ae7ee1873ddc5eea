"""The architecture of a Keras model, as its JSON says: which layer follows which."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# layers whose result is computed without weights, and class by class
_PASSING = frozenset({
    "ActivityRegularization", "Dropout", "Flatten", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "Identity",
    "Permute", "Reshape", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
})  # fmt: skip
# activations that keep the classes' order; after another one it is no score of a class
_SCORES = frozenset({None, "linear", "log_softmax", "sigmoid", "softmax"})
_LINEAR = frozenset({"Conv1D", "Conv2D", "Conv3D", "Dense"})
_DEEPEST = 10  # models within models


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """One layer: ``place`` is where Keras 3 keeps its weights, ``name`` its own name.

    ``before`` are the places of the layers whose results it takes.
    """

    place: str
    name: str
    class_name: str
    activation: Any
    before: tuple[str, ...]

    @property
    def is_linear(self) -> bool:
        return self.class_name in _LINEAR

    @property
    def gives_scores(self) -> bool:
        return self.activation in _SCORES


class KerasGraph:
    """The layers of a model by place, with those of the models inside it; none without ``config``.

    Raises ValueError where ``config`` is no model that lists its layers.
    """

    def __init__(self, config: Any = None) -> None:
        self.layers: dict[str, KerasLayer] = {}
        self.outputs = () if config is None else self._model(config, "", ())

    def before(self, place: str) -> Sequence[str] | None:
        """What ``last_layer`` asks: the layers that this one's result comes from without weights."""
        layer = self.layers.get(place)
        if layer is None or not layer.before or not layer.gives_scores:
            return None
        passing = layer.class_name in _PASSING or layer.class_name in {"", "Activation"}
        return layer.before if passing else None

    def _model(self, model: Any, inside: str, feeding: tuple[str, ...]) -> tuple[str, ...]:
        """Take in a model's layers; return the places of those that give its outputs."""
        config = model.get("config") if isinstance(model, dict) else None
        config = {"layers": config} if isinstance(config, list) else config
        if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
            raise ValueError("it has no list of layers")  # noqa: TRY004
        if inside.count("/") > 2 * _DEEPEST:
            raise ValueError("it has models within models without end")
        used: Counter[str] = Counter()
        places: dict[str, str] = {}
        described = [each for each in config["layers"] if isinstance(each, dict)]
        for layer in described:
            kind = _snake_case(str(layer.get("class_name")))
            number = used[kind]
            used[kind] += 1
            places[_name(layer)] = f"{inside}layers/{kind}{f'_{number}' if number else ''}"
        is_chain = "output_layers" not in config
        last = feeding
        for layer in described:
            place = places[_name(layer)]
            if is_chain:
                before = last
            else:
                before = tuple(
                    places[name] for name in _names(layer.get("inbound_nodes")) if name in places
                )
            self._layer(layer, place, before, feeding)
            last = (place,)
        if is_chain:
            return last
        return tuple(places[name] for name in _names(config["output_layers"]) if name in places)

    def _layer(
        self, layer: dict[str, Any], place: str, before: tuple[str, ...], feeding: tuple[str, ...]
    ) -> None:
        config = layer.get("config")
        class_name = str(layer.get("class_name"))
        activation = config.get("activation") if isinstance(config, dict) else None
        if isinstance(config, list) or (isinstance(config, dict) and "layers" in config):
            before, class_name, activation = self._model(layer, f"{place}/", before), "", None
        elif class_name == "InputLayer":
            before, class_name = feeding, ""
        if not isinstance(activation, str | None):
            activation = "of its own"
        self.layers[place] = KerasLayer(place, _name(layer), class_name, activation, before)


def _name(layer: dict[str, Any]) -> str:
    config = layer.get("config")
    inner = config.get("name") if isinstance(config, dict) else None
    return str(inner or layer.get("name"))


def _names(histories: Any) -> Iterator[str]:
    """The layers named in ``inbound_nodes`` or ``output_layers``, whatever version wrote them."""
    waiting = [histories]
    while waiting:
        match waiting.pop():
            case [str(name), int(), int(), *rest]:
                yield name
                waiting.extend(rest)
            case list() as several:
                waiting.extend(several)
            case dict() as described:
                waiting.extend(described.values())


def _snake_case(name: str) -> str:
    """The name of a class as Keras writes it in a path."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
