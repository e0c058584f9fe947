"""One vector for each text from the vectors of its tokens."""

from __future__ import annotations

from collections.abc import Callable

from kerasbert.backend import keras, serializable, symbolic_tensor, tf
from kerasbert.embedding.hidden_states import HiddenStates, find_hidden_states
from kerasbert.layers import FirstToken
from kerasbert.layers.masks import AttentionMask
from kerasbert.layers.permutation import LastToken, LeftPaddedEmbedding

POOLINGS = {
    "pooler": "the trained layer over [CLS] (SimBERT: with_pool='linear')",
    "cls": "the vector of [CLS]",
    "mean": "the mean of the last block's tokens",
    "max": "the largest of the last block's tokens in each dimension",
    "last_token": "the vector of the last token: for models that read from left to right",
    "first_last_avg": "the mean of the first and the last block's tokens",
    "last2avg": "the mean of the last two blocks' tokens",
}


@serializable
class TokenPooling(keras.layers.Layer):
    """One vector from those of the tokens, padding left out exactly, in float32.

    Padding is what the Keras mask of the input says, which is that of the token ids.

    Args:
        mode: "mean", "max" or "last_token".
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, mode: str = "mean", **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mode = mode
        self.supports_masking = True

    def call(self, inputs, mask=None):
        """Maps (batch, length, width) to float32 (batch, width)."""
        x = tf.cast(inputs, tf.float32)
        if mask is None:
            mask = tf.ones(tf.shape(x)[:2], tf.bool)
        if self.mode == "last_token":
            places = tf.range(tf.shape(x)[1])
            last = tf.reduce_max(tf.where(mask, places, 0), axis=1)
            return tf.gather(x, last, batch_dims=1)
        if self.mode == "max":
            return tf.reduce_max(tf.where(mask[:, :, None], x, x.dtype.min), axis=1)
        # A product with 0 would let an infinite vector of padding through as NaN.
        total = tf.reduce_sum(tf.where(mask[:, :, None], x, 0.0), axis=1)
        return total / tf.reduce_sum(tf.cast(mask, tf.float32), axis=1, keepdims=True)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs, mask=None):
        return symbolic_tensor((inputs.shape[0], inputs.shape[2]), "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "mode": self.mode}


@serializable
class UnitLength(keras.layers.Layer):
    """Scales vectors to length 1, in float32; the zero vector stays as it is."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        """Maps (..., width) to float32 (..., width)."""
        return tf.math.l2_normalize(tf.cast(inputs, tf.float32), axis=-1, epsilon=1e-24)

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs.shape), "float32")

    def get_config(self) -> dict:
        return {**super().get_config()}


def vector_model(
    model: keras.Model, pooling: str | Callable = "pooler", normalize: bool = True
) -> keras.Model:
    """A model's inputs to one vector for each text: an ordinary Keras model with the same weights.

    Heads that the vector does not need are left out.

    Args:
        model: of :func:`kerasbert.build_transformer_model`.
        pooling: one of :data:`POOLINGS`; or a Keras layer, or a function made of such, from the
            last block's (batch, length, hidden_size) to (batch, any width). Layers that know masks
            leave padding out, such as ``keras.layers.GlobalAveragePooling1D()``.
        normalize: whether vectors are scaled to length 1, so that their product is the cosine.

    Returns:
        A model with the same inputs and one float32 output (batch, width).

    Raises:
        ValueError: the model lacks what the pooling needs; says what to do.
    """
    vector = _pool(model, find_hidden_states(model), pooling)
    if len(vector.shape) != 2 or vector.shape[-1] is None:
        raise ValueError(
            f"pooling must give one vector for each text, (batch, width). It gave {vector.shape}."
        )
    scale = UnitLength if normalize else keras.layers.Activation
    settings = {} if normalize else {"activation": "linear", "dtype": "float32"}
    vector = scale(name="Sentence-Vector", **settings)(vector)
    return keras.Model(model.inputs, vector, name=f"{model.name}_vectors")


def _check_padding(model: keras.Model) -> None:
    tables = [x for x in model.layers if x.name.endswith("Embedding-Token")]
    if tables and all(getattr(table, "mask_value", 0) is None for table in tables):
        raise ValueError(
            "the model takes no id for padding, which a vector must leave out: build it with "
            "pad_token_id=... (the id that its tokenizer pads with; if there is none, an id that "
            "no text has, such as the end token's)."
        )


def _pool(model: keras.Model, states: HiddenStates, pooling: str | Callable):
    """The symbolic vector of a text, (batch, width)."""
    blocks = states.blocks
    if callable(pooling):
        return pooling(blocks[-1])
    if pooling not in POOLINGS:
        raise ValueError(
            f"pooling must be one of {', '.join(POOLINGS)}, or a Keras layer. Received: {pooling!r}"
        )
    if pooling == "pooler":
        return _pooler(states)
    if pooling == "cls":
        return _first_token(model, states)
    if pooling == "last2avg" and len(blocks) < 2:
        raise ValueError("pooling='last2avg' needs two blocks, and the model has one: use 'mean'.")
    _check_padding(model)
    taken = {"first_last_avg": [blocks[0], blocks[-1]], "last2avg": blocks[-2:]}
    mode = "mean" if pooling in taken else pooling
    layer = TokenPooling(mode, name=f"Pooling-{mode}")
    vectors = [layer(x) for x in taken.get(pooling, blocks[-1:])]
    if len(vectors) == 1:
        return vectors[0]
    return keras.layers.Average(name=f"Pooling-{pooling}", dtype="float32")(vectors)


def _pooler(states: HiddenStates):
    if states.pooled is not None:
        return states.pooled
    if states.first is not None:  # ELECTRA's pooler has no layer of its own
        return states.first
    raise ValueError(
        "pooling='pooler' needs a pooler, and the model has none: build it with with_pool=True, "
        "of SimBERT with with_pool='linear'; or use pooling='cls' or 'mean'."
    )


def _first_token(model: keras.Model, states: HiddenStates):
    if any(getattr(layer, "pattern", "") == "lm" for layer in _of(model, AttentionMask)):
        raise ValueError(
            "pooling='cls' has no meaning in a model that reads from left to right: its first "
            "token sees no other. Use pooling='mean' or 'last_token'."
        )
    if states.first is not None:
        return states.first
    last = any(True for _ in _of(model, LeftPaddedEmbedding))  # XLNet: texts end with [CLS]
    return (LastToken if last else FirstToken)(name="Pooling-cls")(states.blocks[-1])


def _of(model: keras.Model, layer_class: type) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, layer_class)]
