"""The functions that a SavedModel is made of: tokenizer, model, detokenizer in one graph each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerasbert.backend import keras, tf
from kerasbert.layers import PositionEmbedding
from kerasbert.layers.padded_positions import PaddedPositionEmbedding
from kerasbert.serving.detokenizing import make_detokenizer
from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.checking import check_vocabulary

TEXTS = tf.TensorSpec([None], tf.string, name="texts")
PAIRS = tf.TensorSpec([None], tf.string, name="pairs")
TOKEN_IDS = tf.TensorSpec([None, None], tf.int32, name="token_ids")
SEGMENT_IDS = tf.TensorSpec([None, None], tf.int32, name="segment_ids")


class TextInput:
    """Texts to the inputs of a model, padded to the longest text of the batch.

    Args:
        tokenizer: is put into the graph.
        max_length: most tokens of a row, special tokens counted.
    """

    def __init__(self, tokenizer: BaseTokenizer, max_length: int):
        self.max_length = max_length
        self._layer = tokenizer.as_layer(max_length=max_length, return_attention_mask=True)
        self._from_left = tokenizer._template.padding_side == "left"
        self._end_id, self._pad_id = tokenizer.end_id, tokenizer.pad_id

    def __call__(
        self, texts: tf.Tensor, pairs: tf.Tensor | None = None, open_end: bool = False
    ) -> list[tf.Tensor]:
        """Token ids and segment ids, int32 (batch, length).

        Args:
            texts: strings (batch,).
            pairs: second texts (batch,), or None.
            open_end: whether texts are without the token that ends them, since they go on.
        """
        ids, segments, mask = self._layer(texts if pairs is None else (texts, pairs))
        lengths = tf.reduce_sum(mask, axis=1)
        if open_end and self._end_id is not None:
            last = tf.range(tf.shape(ids)[1]) == lengths[:, None] - 1
            ends = last & (ids == self._end_id) & (lengths[:, None] > 1)
            ids = tf.where(ends, self._pad_id, ids)
            lengths -= tf.reduce_sum(tf.cast(ends, tf.int32), axis=1)
        longest = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
        if self._from_left:
            return [ids[:, -longest:], segments[:, -longest:]]
        return [ids[:, :longest], segments[:, :longest]]


def feeder(model: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    """The model as a function of token ids and segment ids, int32 (batch, length).

    Args:
        model: its inputs are those of ``build_transformer_model``: tokens, and segments if any.

    Raises:
        ValueError: it has other inputs.
    """
    names = [tensor.name.split(":")[0] for tensor in model.inputs]
    kinds = [next((k for k in _INPUTS if name.endswith(k)), None) for name in names]
    if None in kinds:
        raise ValueError(
            f"the model {model.name!r} has the inputs {', '.join(names)}; what is made of texts "
            "are Input-Token, Input-Segment, Input-Position and Input-Mask."
        )
    pad_id = next(
        (layer.mask_value for layer in model.layers if layer.name.endswith("Embedding-Token")), 0
    )

    def feed(token_ids, segment_ids):
        def mask():
            return tf.cast(tf.not_equal(token_ids, pad_id or 0), tf.int32)

        given = {
            "Input-Token": lambda: token_ids,
            "Input-Segment": lambda: segment_ids,
            "Input-Position": lambda: tf.zeros_like(token_ids) + tf.range(tf.shape(token_ids)[1]),
            "Input-Mask": mask,
        }
        inputs = [given[kind]() for kind in kinds]
        return model(inputs if len(inputs) > 1 else inputs[0], training=False)

    return feed


_INPUTS = ("Input-Token", "Input-Segment", "Input-Position", "Input-Mask")


def embedding_signatures(
    model: keras.Model, read: TextInput, *, pooling, normalize: bool
) -> dict[str, tf.function]:
    """``encode`` and ``encode_ids``: to ``embeddings``, float32 (batch, size)."""
    from kerasbert.embedding.pooling import vector_model

    feed = feeder(vector_model(model, pooling, normalize))

    @tf.function(input_signature=[TEXTS])
    def encode(texts):
        return {"embeddings": feed(*read(texts))}

    @tf.function(input_signature=[TOKEN_IDS, SEGMENT_IDS])
    def encode_ids(token_ids, segment_ids):
        return {"embeddings": feed(token_ids, segment_ids)}

    return {"encode": encode, "encode_ids": encode_ids}


def class_signatures(
    model: keras.Model, read: TextInput, *, labels: Sequence[str] | None, from_logits: bool
) -> dict[str, tf.function]:
    """``classify``, ``classify_pairs`` and ``classify_ids``.

    They give ``probabilities``, float32 (batch, classes), and ``classes``, the likeliest one: its
    label, or its number where there are no labels.
    """
    outputs = model.outputs
    if len(outputs) != 1 or len(outputs[0].shape) != 2:
        shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
        raise ValueError(
            'output="classes" needs a model with one output (batch, classes). The outputs of '
            f"{model.name!r} are: {shapes}. Give it a classifier's layer first."
        )
    count = outputs[0].shape[-1]
    if labels is not None and len(labels) != count:
        raise ValueError(f"the model has {count} classes, but there are {len(labels)} labels.")
    feed = feeder(model)

    def answer(token_ids, segment_ids):
        scores = tf.cast(feed(token_ids, segment_ids), tf.float32)
        if from_logits:
            scores = tf.nn.softmax(scores)
        best = tf.argmax(scores, axis=-1, output_type=tf.int32)
        classes = best if labels is None else tf.gather(tf.constant(list(labels)), best)
        return {"probabilities": scores, "classes": classes}

    @tf.function(input_signature=[TEXTS])
    def classify(texts):
        return answer(*read(texts))

    @tf.function(input_signature=[TEXTS, PAIRS])
    def classify_pairs(texts, pairs):
        return answer(*read(texts, pairs))

    @tf.function(input_signature=[TOKEN_IDS, SEGMENT_IDS])
    def classify_ids(token_ids, segment_ids):
        return answer(token_ids, segment_ids)

    return {"classify": classify, "classify_pairs": classify_pairs, "classify_ids": classify_ids}


def text_signatures(
    model: keras.Model,
    tokenizer: BaseTokenizer,
    read: TextInput,
    *,
    options: Mapping[str, Any],
) -> dict[str, tf.function]:
    """``generate`` and ``generate_ids``.

    They give ``scores``, float32 (batch, sequences), and ``texts`` or ``token_ids`` (with a last
    axis of tokens); of one sequence without that axis.
    """
    from kerasbert.generation import TextGenerator

    if options.get("stop"):
        raise ValueError(
            "stop is not for an exported model, which cannot cut its texts there: leave it out."
        )
    generator = TextGenerator(model, tokenizer)
    function = generator.function(**options)
    _check_length(model, read.max_length + options.get("max_new_tokens", 32))
    open_end = generator.parts.application == "lm"
    detokenize = make_detokenizer(tokenizer)
    one = options.get("num_return_sequences", 1) == 1

    def answer(token_ids, segment_ids):
        found, scores = function(token_ids, segment_ids)
        return (found[:, 0], scores[:, 0]) if one else (found, scores)

    @tf.function(input_signature=[TEXTS])
    def generate(texts):
        found, scores = answer(*read(texts, open_end=open_end))
        shape = tf.shape(found)
        written = detokenize(tf.reshape(found, [-1, shape[-1]]))
        return {"texts": tf.reshape(written, shape[:-1]), "scores": scores}

    @tf.function(input_signature=[TOKEN_IDS, SEGMENT_IDS])
    def generate_ids(token_ids, segment_ids):
        found, scores = answer(token_ids, segment_ids)
        return {"token_ids": found, "scores": scores}

    return {"generate": generate, "generate_ids": generate_ids}


def tokenize_signature(read: TextInput) -> dict[str, tf.function]:
    """``tokenize``: to ``token_ids`` and ``segment_ids``, int32 (batch, length)."""

    @tf.function(input_signature=[TEXTS])
    def tokenize(texts):
        token_ids, segment_ids = read(texts)
        return {"token_ids": token_ids, "segment_ids": segment_ids}

    return {"tokenize": tokenize}


def check(model: keras.Model, tokenizer: BaseTokenizer, max_length: int) -> None:
    """Refuses what cannot be exported, before anything is traced."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    if not isinstance(tokenizer, BaseTokenizer):
        raise TypeError(
            f"tokenizer must be a tokenizer of this package, got {type(tokenizer).__name__}."
        )
    check_vocabulary(model, tokenizer)
    _check_length(model, max_length)


def _check_length(model: keras.Model, length: int) -> None:
    for layer in model.layers:
        if isinstance(layer, PositionEmbedding) and not layer.hierarchical:
            reserved = layer.pad_token_id + 1 if isinstance(layer, PaddedPositionEmbedding) else 0
            most = layer.input_dim - reserved
            if length > most:
                raise ValueError(
                    f"max_length, with the tokens to generate, is {length}, but the model has "
                    f"{most} positions: give a smaller max_length, or build the model with "
                    "hierarchical_position=True."
                )
