"""Activation functions by name: "gelu" is two functions in this field, and each has a name here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from kerasbert.backend import tf


def gelu_erf(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit, exact form (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""
    return tf.nn.gelu(x, approximate=False)


def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """The tanh approximation of gelu, as in Google's later BERT, ALBERT, NEZHA and XLNet code."""
    return tf.nn.gelu(x, approximate=True)


def softmax(x: tf.Tensor) -> tf.Tensor:
    """Softmax over the last axis, computed and returned in float32 under any dtype policy."""
    return tf.nn.softmax(tf.cast(x, tf.float32))


def sigmoid(x: tf.Tensor) -> tf.Tensor:
    """Logistic function, computed and returned in float32 under any dtype policy."""
    return tf.nn.sigmoid(tf.cast(x, tf.float32))


ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu_erf": gelu_erf,
    "gelu_tanh": gelu_tanh,
    "relu": tf.nn.relu,
    "relu_squared": lambda x: tf.square(tf.nn.relu(x)),
    "swish": tf.nn.silu,
    "tanh": tf.nn.tanh,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "linear": tf.identity,
}

# Spellings of configuration files that mean one of the above. "gelu" alone is settled by the model
# family (config.py), because the same word stands for both forms.
ALIASES = {
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python": "gelu_erf",
    "silu": "swish",
    "relu2": "relu_squared",
    "identity": "linear",
}


def canonical_name(name: str | None) -> str:
    """The name under which an activation is kept in layer configs.

    Raises:
        ValueError: for a name that is not known, naming the nearest ones.
    """
    if name is None:
        return "linear"
    key = ALIASES.get(str(name).lower(), str(name).lower())
    if key not in ACTIVATIONS:
        near = difflib.get_close_matches(key, [*ACTIVATIONS, *ALIASES, "gelu"], n=3)
        raise ValueError(
            f"Unknown activation {name!r}."
            + (f" Did you mean {', '.join(near)}?" if near else "")
            + f" Known: gelu, {', '.join(sorted([*ACTIVATIONS, *ALIASES]))}."
        )
    return key


def get(name: str | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function of a (canonical or alias) activation name; None is linear."""
    return ACTIVATIONS[canonical_name(name)]


def canonical_names(activation: str | Sequence[str] | None, gelu: str = "gelu") -> str | list[str]:
    """The canonical name of an activation, or both names of a gated layer's pair.

    Args:
        activation: one name, or two.
        gelu: what "gelu" alone means.

    Raises:
        ValueError: for more than two, or a name that is not known.
    """
    single = activation is None or isinstance(activation, str)
    names = [activation] if single else list(activation)
    if len(names) not in (1, 2):
        raise ValueError(
            "There is one activation, or two for a gated layer: of its first and of its second "
            f"factor. Received: {names!r}"
        )
    names = [canonical_name(gelu if name == "gelu" else name) for name in names]
    return names[0] if len(names) == 1 else names
