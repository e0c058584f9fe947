"""Models as functions from the tokens so far to the scores of the next ones.

The cached ones read the prompt once and then each new token once; the uncached one reads the whole
text for each new token, as bert4keras does: it is the reference that the others are tested
against, and serves models with layers of which nothing is known.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

from kerasbert.backend import keras, tf
from kerasbert.generation.reading import Parts
from kerasbert.layers.incremental import Prompt, Step


class Prompts(NamedTuple):
    """What texts are generated for.

    Attributes:
        token_ids: int32 (batch, length), padded on the right.
        segment_ids: int32 (batch, length).
        lengths: int32 (batch,): tokens of each prompt, at least 1.
        next_segments: int32 (batch,): the segment of generated tokens.
    """

    token_ids: tf.Tensor
    segment_ids: tf.Tensor
    lengths: tf.Tensor
    next_segments: tf.Tensor


class Continuations(NamedTuple):
    """What was generated so far: several continuations of each text, side by side.

    Attributes:
        tokens: int32 (batch, width, max_new_tokens), padded.
        lanes: int32 (batch, width, max_new_tokens): at which place each token was read. Beams
            change places, what the cache holds does not.
        count: int32 scalar: tokens of each continuation.
    """

    tokens: tf.Tensor
    lanes: tf.Tensor
    count: tf.Tensor


class Memory(NamedTuple):
    """What a model keeps of the tokens that it has read.

    Every tensor's first axis is the text's, but for those of ``weights``.

    Attributes:
        prompts: what it was started with.
        keys: of each attention layer, (batch, heads * slots, size).
        values: likewise.
        constants: what does not change: keys and values of an encoder's output, ...
        weights: of the model, where it computes in another dtype than that of its variables.
    """

    prompts: Prompts
    keys: tuple[tf.Tensor, ...]
    values: tuple[tf.Tensor, ...]
    constants: Any
    weights: dict[str, tf.Tensor]


class LanguageModel(abc.ABC):
    """Scores of next tokens.

    Args:
        parts: of the model.
        in_place: whether caches may be overwritten; False for XLA.
    """

    def __init__(self, parts: Parts, in_place: bool = True):
        self.parts = parts
        self.in_place = in_place

    @abc.abstractmethod
    def start(self, prompts: Prompts, width: int, room: tf.Tensor) -> tuple[tf.Tensor, Memory]:
        """Reads prompts.

        Args:
            prompts: the prompts.
            width: continuations of each.
            room: int32 scalar: most tokens of a continuation.

        Returns:
            The logits of the first new token, float32 (batch, 1, vocab_size), and what is kept.
        """

    @abc.abstractmethod
    def step(self, memory: Memory, written: Continuations) -> tuple[tf.Tensor, Memory]:
        """Reads the last token of each continuation.

        Returns:
            The logits of the next ones, float32 (batch, width, vocab_size), and what is kept.
        """

    def inputs(self, **tensors: tf.Tensor) -> list[tf.Tensor]:
        """The model's inputs in its order, from token_ids, segment_ids, position_ids, mask."""
        found = []
        for x in self.parts.model.inputs:
            kind = x.name.split(":")[0].rsplit("-", 1)[-1].lower()
            found.append(tensors[kind])
        return found


class CachedModel(LanguageModel):
    """A UniLM or a model that continues texts."""

    def start(self, prompts, width, room):
        places = tf.range(tf.shape(prompts.token_ids)[1])[None]
        inputs = self.inputs(
            token=prompts.token_ids,
            segment=prompts.segment_ids,
            position=tf.zeros_like(prompts.token_ids) + places,
            mask=tf.cast(places < prompts.lengths[:, None], tf.int32),
        )
        reading = Prompt(prompts.lengths)
        with reading.reading():
            scores = self.parts.model(inputs, training=False)
        return scores, _memory(prompts, reading, width, room)

    def step(self, memory, written):
        step = _step(self.parts, memory, written, self.in_place)
        tokens = _last(written)
        inputs = self.inputs(
            token=tokens,
            segment=tf.zeros_like(tokens) + memory.prompts.next_segments[:, None],
            position=step.positions,
            mask=tf.ones_like(tokens),
        )
        with step.reading():
            scores = self.parts.model(inputs, training=False)
        return scores, _after(memory, step)


class CachedEncoderDecoder(LanguageModel):
    """T5: the prompt is the encoder's, and the decoder begins with the padding id."""

    def __init__(self, parts, in_place=True):
        super().__init__(parts, in_place)
        context = parts.layer("Encoder-Output-Dropout").output
        of_source = [x for x in parts.model.inputs if "Decoder-Input" not in x.name]
        decoder_input = [x for x in parts.model.inputs if "Decoder-Input" in x.name]
        self.encoder = keras.Model(of_source, context)
        self.decoder = keras.Model([context, *of_source, *decoder_input], parts.model.outputs[0])

    def _source(self, prompts: Prompts) -> list[tf.Tensor]:
        places = tf.range(tf.shape(prompts.token_ids)[1])[None]
        mask = tf.cast(places < prompts.lengths[:, None], tf.int32)
        return [mask if "Mask" in x.name else prompts.token_ids for x in self.encoder.inputs]

    def start(self, prompts, width, room):
        # A copy, without the Keras mask that nothing in the decoder asks for.
        context = tf.identity(self.encoder(self._source(prompts), training=False))
        # From here on the prompt is the decoder's first token; the source lives in constants.
        start = _first_tokens(prompts, self.parts.pad_id)
        reading = Prompt(start.lengths)
        with reading.reading():
            inputs = [context, *self._source(prompts), start.token_ids]
            scores = self.decoder(inputs, training=False)
        memory = _memory(start, reading, width, room)
        constants = {"layers": memory.constants, "context": context, "source": prompts}
        return scores, memory._replace(constants=constants)

    def step(self, memory, written):
        constants = memory.constants
        memory = memory._replace(constants=constants["layers"])
        step = _step(self.parts, memory, written, self.in_place)
        inputs = [constants["context"], *self._source(constants["source"]), _last(written)]
        with step.reading():
            scores = self.decoder(inputs, training=False)
        return scores, _after(memory, step)._replace(constants=constants)


class UncachedModel(LanguageModel):
    """Any of them without a cache: reads every continuation whole for each token."""

    def start(self, prompts, width, room):
        return self._read(prompts, None), Memory(prompts, (), (), (), {})

    def step(self, memory, written):
        return self._read(memory.prompts, written), memory

    def _read(self, prompts: Prompts, written: Continuations | None) -> tf.Tensor:
        seq2seq = self.parts.application == "seq2seq"
        start = _first_tokens(prompts, self.parts.pad_id) if seq2seq else prompts
        batch, width = tf.shape(prompts.token_ids)[0], 1
        tokens, segments, lengths = start.token_ids, start.segment_ids, start.lengths
        if written is not None:
            width = written.tokens.shape[1]
            new = tf.reshape(written.tokens[:, :, : written.count], [batch * width, -1])
            tokens, segments, lengths = (
                tf.repeat(x, width, axis=0) for x in (tokens, segments, lengths)
            )
            tokens, places = _append(tokens, lengths, new, self.parts.pad_id)
            next_segments = tf.repeat(start.next_segments, width)[:, None]
            segments, _ = _append(segments, lengths, tf.zeros_like(new) + next_segments, 0)
            # Padding after a generated text must not look like a source.
            segments = tf.where(places < lengths[:, None], segments, next_segments)
            lengths += written.count
        places = tf.zeros_like(tokens) + tf.range(tf.shape(tokens)[1])[None]
        mask = tf.cast(places < lengths[:, None], tf.int32)
        if seq2seq:
            source = tf.repeat(prompts.token_ids, width, axis=0)
            source_lengths = tf.repeat(prompts.lengths, width)[:, None]
            source_mask = tf.cast(tf.range(tf.shape(source)[1])[None] < source_lengths, tf.int32)
            inputs = [
                tokens if "Decoder" in x.name else source_mask if "Mask" in x.name else source
                for x in self.parts.model.inputs
            ]
        else:
            inputs = self.inputs(token=tokens, segment=segments, position=places, mask=mask)
        with Prompt(lengths).reading():
            scores = self.parts.model(inputs, training=False)
        return tf.reshape(scores, [batch, width, self.parts.vocab_size])


def language_model(parts: Parts, use_cache: bool = True, in_place: bool = True) -> LanguageModel:
    """The function of next tokens that fits a model."""
    if not use_cache:
        return UncachedModel(parts, in_place)
    kind = CachedEncoderDecoder if parts.application == "seq2seq" else CachedModel
    return kind(parts, in_place)


def _first_tokens(prompts: Prompts, pad_id: int) -> Prompts:
    """What a decoder begins with: one token of padding."""
    first = tf.fill([tf.shape(prompts.token_ids)[0], 1], pad_id)
    ones = tf.ones_like(first[:, 0])
    return Prompts(first, first, ones, ones)


def _append(rows: tf.Tensor, lengths: tf.Tensor, new: tf.Tensor, fill: int):
    """Each row's first ``lengths`` numbers, then the new ones: (rows, length + new), places."""
    count, total = tf.shape(new)[1], tf.shape(rows)[1] + tf.shape(new)[1]
    places = tf.zeros_like(lengths)[:, None] + tf.range(total)[None]
    new_places = places - lengths[:, None]
    both = tf.concat([rows, new], axis=1)
    index = tf.where(new_places < 0, places, tf.shape(rows)[1] + new_places)
    inside = new_places < count
    taken = tf.gather(both, tf.where(inside, index, 0), batch_dims=1)
    return tf.where(inside, taken, fill), places


def _last(written: Continuations) -> tf.Tensor:
    """The last token of each continuation, (batch, width)."""
    return tf.gather(written.tokens, written.count - 1, axis=2)


def _memory(prompts: Prompts, reading: Prompt, width: int, room: tf.Tensor) -> Memory:
    """What the prompts' pass has found, with room for the continuations."""

    def widen(x):
        shape = tf.shape(x)
        free = tf.zeros([shape[0], shape[1], room * width, x.shape[3]], x.dtype)
        # A concatenation is a buffer of its own, which steps may overwrite.
        return tf.reshape(tf.concat([x, free], axis=2), [shape[0], -1, x.shape[3]])

    keys, values = (tuple(map(widen, xs)) for xs in (reading.keys, reading.values))
    return Memory(prompts, keys, values, tuple(reading.constants), reading.weights)


def _step(parts: Parts, memory: Memory, written: Continuations, in_place: bool) -> Step:
    prompts, (tokens, lanes, count) = memory.prompts, written
    width, room = tokens.shape[1], tf.shape(tokens)[2]
    length = tf.shape(prompts.token_ids)[1]
    last = count - 1
    order = tf.range(room)
    # Which of all lanes' tokens are this continuation's own: (batch, width, room, width).
    own = tf.equal(lanes[..., None], tf.range(width)) & (order <= last)[:, None]
    if parts.pads_by_id:  # a padding token that was generated is not seen in training either
        own &= tf.not_equal(tokens, parts.pad_id)[..., None]
    own = tf.reshape(own, [-1, width, room * width])
    of_prompt = tf.range(length)[None] < prompts.lengths[:, None]
    of_prompt = tf.repeat(of_prompt[:, None], width, axis=1)
    new_positions = prompts.lengths[:, None] + tf.repeat(order, width)[None]
    prompt_positions = tf.zeros_like(prompts.token_ids) + tf.range(length)[None]
    return Step(
        positions=tf.repeat((prompts.lengths + last)[:, None], width, axis=1),
        key_positions=tf.concat([prompt_positions, new_positions], axis=1),
        visible=tf.concat([of_prompt, own], axis=2),
        slot=length + last * width,
        keys=[tf.reshape(x, [-1, x.shape[2]]) for x in memory.keys],
        values=[tf.reshape(x, [-1, x.shape[2]]) for x in memory.values],
        constants=memory.constants,
        weights=memory.weights,
        in_place=in_place,
    )


def _after(memory: Memory, step: Step) -> Memory:
    def pack(flat, before):
        return tuple(tf.ensure_shape(tf.reshape(x, tf.shape(old)), old.shape)
                     for x, old in zip(flat, before))  # fmt: skip

    return memory._replace(
        keys=pack(step.keys, memory.keys), values=pack(step.values, memory.values)
    )
