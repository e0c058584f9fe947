"""What a model must have to generate, found by the names of its layers."""

from __future__ import annotations

from dataclasses import dataclass

from kerasbert.backend import keras
from kerasbert.layers import AttentionMask, Embedding, PositionEmbedding

# The last layers of the heads that score the vocabulary.
HEADS = (
    "MLM-Activation",
    "Output-MLM-Activation",
    "LM-Activation",
    "Decoder-Output-LM-Activation",
)
# Modules of layers that treat each token alone, or know how to read incrementally.
_KNOWN_MODULES = ("kerasbert.layers.",)
_UNKNOWN_MODULES = ("kerasbert.layers.permutation", "kerasbert.layers.relative_xl")
_KNOWN_KERAS_LAYERS = ("InputLayer", "Dense", "Dropout", "Activation")


@dataclass(frozen=True)
class Parts:
    """A model taken apart for generation.

    Attributes:
        model: the graph from its inputs to the scores of the vocabulary.
        application: "lm", "unilm" or "seq2seq" (an encoder and a decoder).
        prefix: of its layers' names.
        vocab_size: number of scores.
        pad_id: id that the model takes for padding.
        pads_by_id: whether that id is how it knows padding; otherwise by a mask.
        max_positions: most tokens that it can tell apart, or None for any number.
        unknown: names of layers of which it is not known what they do when tokens are read one
            after another.
    """

    model: keras.Model
    application: str
    prefix: str
    vocab_size: int
    pad_id: int
    pads_by_id: bool
    max_positions: int | None
    unknown: tuple[str, ...]

    def layer(self, name: str):
        """The layer of that name without prefix, or None."""
        try:
            return self.model.get_layer(self.prefix + name)
        except ValueError:
            return None


def take_apart(model) -> Parts:
    """Finds the parts of a model that can generate.

    Args:
        model: a ``keras.Model`` of this package, or one made from its layers (trained, loaded from
            a file, with further outputs), or the ``Transformer`` that made it.

    Raises:
        TypeError: this is no model.
        ValueError: it has no head that scores the vocabulary, no mask that reads from left to
            right, inputs that are not known, or a fixed length.
    """
    model = getattr(model, "model", model) if not isinstance(model, keras.Model) else model
    if not isinstance(model, keras.Model):
        raise TypeError(f"A keras.Model was expected. Received: {type(model).__name__}")
    names = [layer.name for layer in model.layers]
    found = [(name, head) for name in names for head in HEADS if name.endswith(head)]
    if not found:
        raise ValueError(
            f"The model {model.name!r} has no head that scores the vocabulary, so it cannot "
            'generate. Build it with application="unilm" (or "lm"), or with_mlm=True of a UniLM; '
            "T5 with with_lm=True."
        )
    name, head = max(found, key=lambda pair: len(pair[1]))
    prefix = name[: -len(head)]
    token = model.get_layer(f"{prefix}Embedding-Token")
    outputs = model.get_layer(name).output
    # The model's own output where it has one: its layers may stand in another graph as well.
    own = [x for x in model.outputs if x.shape[1:] == outputs.shape[1:]]
    outputs = own[0] if len(own) == 1 else outputs
    seq2seq = head.startswith("Decoder")
    application = "seq2seq" if seq2seq else _application(model)
    wanted = ["Encoder-Input-Token", "Decoder-Input-Token", "Encoder-Input-Mask"] if seq2seq else [
        "Input-Token", "Input-Segment", "Input-Position", "Input-Mask"]  # fmt: skip
    inputs = [x for x in model.inputs if _input_name(x) in [prefix + name for name in wanted]]
    if any(x.shape[1] is not None for x in inputs):
        raise ValueError(
            f"The model {model.name!r} was built for texts of {inputs[0].shape[1]} tokens alone "
            "and cannot read one after another: build it without sequence_length."
        )
    try:
        scores = keras.Model(inputs, outputs)
    except (ValueError, KeyError) as error:
        others = [_input_name(x) for x in model.inputs if not any(x is known for known in inputs)]
        raise ValueError(
            f"The scores of {model.name!r} depend on inputs that generation does not know: "
            f"{', '.join(others)}."
        ) from error
    pad_id = token.mask_value if isinstance(token, Embedding) else 0
    limits = [x.longest for x in scores.layers if isinstance(x, PositionEmbedding)]
    return Parts(
        model=scores,
        application=application,
        prefix=prefix,
        vocab_size=int(outputs.shape[-1]),
        pad_id=pad_id or 0,
        pads_by_id=pad_id is not None
        and (not any("Input-Mask" in x.name for x in inputs) or seq2seq),
        max_positions=min(limits, default=None),
        unknown=tuple(layer.name for layer in scores.layers if not _is_known(layer)),
    )


def _application(model) -> str:
    patterns = [layer.pattern for layer in model.layers if isinstance(layer, AttentionMask)]
    for pattern in ("unilm", "lm"):
        if pattern in patterns:
            return pattern
    raise ValueError(
        f"The model {model.name!r} reads texts in both directions and cannot generate. Build it "
        'from the same checkpoint with application="unilm" (the text is a source that is '
        'answered) or application="lm" (the text is continued).'
    )


def _is_known(layer) -> bool:
    declared = getattr(layer, "reads_incrementally", None)
    if declared is not None:
        return bool(declared)
    module = type(layer).__module__ + "."
    if module.startswith(_KNOWN_MODULES):
        return not module.startswith(_UNKNOWN_MODULES)
    return type(layer).__name__ in _KNOWN_KERAS_LAYERS and "keras" in module


def _input_name(tensor) -> str:
    """The name of the input layer that a symbolic input comes from, on both Keras versions."""
    return tensor.name.split(":")[0]
