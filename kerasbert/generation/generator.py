"""Text from text: what users call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kerasbert.backend import tf
from kerasbert.generation import prompts as prompting
from kerasbert.generation.compiled import CompiledPlan
from kerasbert.generation.decoding import Decoding, Plan, Settings
from kerasbert.generation.language_models import Prompts, language_model
from kerasbert.generation.options import GenerationOptions
from kerasbert.generation.reading import take_apart
from kerasbert.generation.sampling import Uniform
from kerasbert.generation.search import Ending, Found
from kerasbert.tokenizers.checking import check_vocabulary

# Compiled graphs that are kept: one for each combination of options that is not a mere number.
_GRAPHS = 16


@dataclass(frozen=True)
class Generation:
    """A generated text.

    Attributes:
        text: the text.
        token_ids: its tokens, without what ended it.
        score: the sum of the tokens' log-probabilities, the end's included; of a beam search
            divided by the number of tokens to the power of ``length_penalty``.
        finished: whether it ended by itself; otherwise it was cut at ``max_new_tokens``.
    """

    text: str
    token_ids: list[int]
    score: float
    finished: bool


class TextGenerator:
    """A model and its tokenizer, ready to generate.

    The model reads each prompt once and each new token once, in one compiled graph for any number
    of texts of any lengths. Weights are the model's own: what training changes shows at once.

    Args:
        model: with a head that scores the vocabulary: a UniLM (``application="unilm"``) answers a
            source, a left-to-right model (``application="lm"``, GPT) continues a text, a T5 reads
            with its encoder.
        tokenizer: of the model.
        use_cache: False reads the whole text anew for each token: slow, for comparison and for
            models with layers that cannot do otherwise.
        **options: defaults of this object's calls; see :class:`GenerationOptions`.

    Raises:
        ValueError: the model cannot generate; the message says what to do.
    """

    def __init__(self, model, tokenizer, *, use_cache: bool | None = None, **options):
        self.parts = take_apart(model)
        self.tokenizer = tokenizer
        check_vocabulary(self.parts.model, tokenizer)
        unknown = self.parts.unknown
        if use_cache and unknown:
            raise ValueError(
                f"It is not known whether these layers can read a text token by token: "
                f"{', '.join(unknown)}. Leave out use_cache, which reads the whole text anew for "
                "each token; or set reads_incrementally = True on their classes if they treat "
                "every token alone."
            )
        self.use_cache = not unknown if use_cache is None else bool(use_cache)
        self.options = options
        GenerationOptions.of(options)
        self._graphs: dict[Plan, CompiledPlan] = {}
        self._lock = threading.Lock()

    def generate(
        self,
        texts,
        *,
        batch_size: int = 16,
        truncation: bool = True,
        return_details: bool = False,
        **options,
    ):
        """Generates.

        Args:
            texts: one text or several; also pairs of texts (tuples), and lists of token ids, which
                are taken as they are.
            batch_size: texts that are generated together, those of similar lengths.
            truncation: whether prompts that leave no room for the new tokens are cut, with a
                warning: sources at the end, texts to be continued at the start. False refuses.
            return_details: whether to return :class:`Generation` objects instead of texts.
            **options: see :class:`GenerationOptions`.

        Returns:
            For one text a text, for several a list; with ``num_return_sequences`` above 1 a list in
            the place of each text, the best first in a beam search.

        Raises:
            ValueError: an option or a prompt is impossible, or the model's logits are not numbers.
            TypeError: an option is unknown or of a wrong type.
        """
        chosen = GenerationOptions.of({**self.options, **options})
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more. Received: {batch_size!r}")
        one = prompting.is_one_text(texts)
        texts = [texts] if one else list(texts)
        prompts = prompting.encode(
            texts, self.tokenizer, self.parts, chosen.max_new_tokens, truncation
        )
        results: list[list[Generation]] = [[] for _ in prompts]
        if chosen.max_new_tokens == 0:
            empty = Generation("", [], 0.0, False)
            results = [[empty] * chosen.num_return_sequences for _ in prompts]
        elif prompts:
            graph, settings = self._graph(chosen), Settings.of(chosen)
            uniform = Uniform(chosen)
            order = np.argsort([-len(prompt.token_ids) for prompt in prompts], kind="stable")
            for begin in range(0, len(order), batch_size):
                rows = order[begin : begin + batch_size]
                found = graph.run(
                    [prompts[i] for i in rows], chosen.max_new_tokens, settings, uniform(rows), rows
                )
                for row, texts_found in zip(rows, self._read(found, chosen)):
                    results[row] = texts_found
        if not return_details:
            results = [[found.text for found in of_text] for of_text in results]
        if chosen.num_return_sequences == 1:
            results = [of_text[0] for of_text in results]
        return results[0] if one else results

    def stream(self, text, *, truncation: bool = True, **options) -> Iterator[str]:
        """Generates one text and yields it in pieces, as its tokens come.

        Args:
            text: as one of :meth:`generate`'s.
            truncation: as for :meth:`generate`.
            **options: see :class:`GenerationOptions`; one continuation, by sampling or greedily.

        Yields:
            Pieces of text that joined are the whole.
        """
        chosen = GenerationOptions.of({**self.options, **options})
        if chosen.width != 1:
            raise ValueError(
                "A text can be streamed while it is written, by sampling or greedily. Of "
                f"{chosen.width} beams or samples it is only known at the end which is "
                "returned: leave out num_beams and num_return_sequences."
            )
        prompts = prompting.encode(
            [text], self.tokenizer, self.parts, chosen.max_new_tokens, truncation
        )
        return self._stream(prompts, chosen)

    def _stream(self, prompts, chosen: GenerationOptions) -> Iterator[str]:
        if chosen.max_new_tokens == 0:
            return
        graph, settings = self._graph(chosen), Settings.of(chosen)
        said = ""
        for found in graph.steps(prompts, chosen.max_new_tokens, settings, Uniform(chosen)([0])):
            text = self._read(found, chosen)[0][0].text
            # A character may need several tokens, and a stop text may have begun.
            if text.startswith(said) and not text.endswith("\ufffd"):
                yield text[len(said) :]
                said = text
        if text.startswith(said) and text != said:
            yield text[len(said) :]

    def function(self, *, jit_compile: bool = False, **options):
        """Generation as a ``tf.function``, for a SavedModel or for XLA.

        Args:
            jit_compile: whether XLA compiles it: for each shape of its inputs anew.
            **options: see :class:`GenerationOptions`; all are fixed in the function. Samples are
                different ones at each call.

        Returns:
            A function from int32 (batch, length) token ids and segment ids, padded with the padding
            id, to int32 (batch, num_return_sequences, max_new_tokens) token ids, padded behind the
            end token, and float32 (batch, num_return_sequences) scores.
        """
        chosen = GenerationOptions.of({**self.options, **options})
        if chosen.max_new_tokens == 0:
            raise ValueError("A function must generate something: max_new_tokens is 0.")
        if chosen.do_sample and chosen.seed is not None:
            raise ValueError("seed: a function draws new samples at each call; leave it out.")
        plan = Plan.of(chosen, self._ending(chosen), self.use_cache)
        model = language_model(self.parts, self.use_cache, in_place=not jit_compile)
        decoding, n = Decoding(model, plan), chosen.num_return_sequences
        settings = Settings(*(getattr(chosen, name) for name in Settings._fields))
        pad_id, application = self.parts.pad_id, self.parts.application
        spec = tf.TensorSpec([None, None], tf.int32)

        def run(token_ids, segment_ids):
            real = tf.cast(tf.not_equal(token_ids, pad_id), tf.int32)
            order = tf.range(tf.shape(token_ids)[1]) + 1
            lengths = tf.maximum(tf.reduce_max(real * order, axis=1), 1)
            last = tf.gather(segment_ids, lengths[:, None] - 1, batch_dims=1)[:, 0]
            following = last if application == "lm" else tf.ones_like(lengths)
            if application == "unilm":
                segment_ids = tf.zeros_like(segment_ids)
            shape = [tf.shape(token_ids)[0], plan.width, chosen.max_new_tokens]
            uniform = tf.random.uniform(shape) if chosen.do_sample else tf.zeros(shape)
            found = decoding.run(
                Prompts(token_ids, segment_ids, lengths, following),
                chosen.max_new_tokens,
                settings,
                uniform,
            )
            return found.tokens[:, :n], found.scores[:, :n]

        return tf.function(run, input_signature=[spec, spec], jit_compile=jit_compile)

    def _graph(self, options: GenerationOptions) -> CompiledPlan:
        plan = Plan.of(options, self._ending(options), self.use_cache)
        if 2 * options.num_beams > self.parts.vocab_size:
            raise ValueError(
                f"num_beams={options.num_beams} looks at twice as many tokens in each step, but "
                f"the vocabulary has {self.parts.vocab_size}."
            )
        with self._lock:  # a server calls from several threads
            graph = self._graphs.pop(plan, None)
            if graph is None:
                graph = CompiledPlan(Decoding(language_model(self.parts, self.use_cache), plan))
            self._graphs[plan] = graph  # the latest last
            if len(self._graphs) > _GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            return graph

    def _ending(self, options: GenerationOptions) -> Ending:
        own = self.tokenizer  # may be the user's, who knows of no other end
        end_id = own.stop_id if hasattr(own, "stop_id") else own.end_id
        sequences = []
        for stop in _as_list(options.stop):
            if isinstance(stop, str):
                stop = self.tokenizer.tokens_to_ids(self.tokenizer.tokenize(stop))
            sequence = tuple(int(token) for token in stop)
            if not sequence:
                raise ValueError("stop must not be empty.")
            sequences.append(sequence)
        return Ending(() if end_id is None else (end_id,), tuple(sequences), self.parts.pad_id)

    def _read(self, found: Found, options: GenerationOptions) -> list[list[Generation]]:
        """Texts from arrays, for each prompt."""
        ending = self._ending(options)
        rows = []
        for tokens, scores, lengths, ended in zip(*(np.asarray(x) for x in found)):
            of_text = []
            for place in range(options.num_return_sequences):
                token_ids = tokens[place, : lengths[place]].tolist()
                if ended[place]:
                    token_ids = _without_end(token_ids, ending)
                text = self.tokenizer.decode(token_ids)
                of_text.append(
                    Generation(text, token_ids, float(scores[place]), bool(ended[place]))
                )
            rows.append(of_text)
        return rows


def generate(model, tokenizer, texts, **options):
    """Generates texts; :class:`TextGenerator`'s ``generate`` for one call.

    The compiled graphs stay with the model: a second call is as fast as one of a TextGenerator.

    Args:
        model: as for :class:`TextGenerator`.
        tokenizer: of the model.
        texts: one text or several.
        **options: of :meth:`TextGenerator.generate` and :class:`GenerationOptions`.
    """
    return _generator_of(model, tokenizer).generate(texts, **options)


def stream(model, tokenizer, text, **options) -> Iterator[str]:
    """Generates a text and yields it in pieces; see :meth:`TextGenerator.stream`."""
    return _generator_of(model, tokenizer).stream(text, **options)


def _generator_of(model, tokenizer) -> TextGenerator:
    """The generator that the model was last used with, or a new one."""
    known = getattr(model, "_kerasbert_generator", None)
    if known is None or known.tokenizer is not tokenizer:
        known = TextGenerator(model, tokenizer)
        # Past Keras, which would take it for a part of the model.
        object.__setattr__(model, "_kerasbert_generator", known)
    return known


def _as_list(stop) -> list:
    if stop is None:
        return []
    if isinstance(stop, str):
        return [stop]
    stop = list(stop)
    return [stop] if stop and all(isinstance(x, (int, np.integer)) for x in stop) else stop


def _without_end(token_ids: list[int], ending: Ending) -> list[int]:
    """Tokens without the end token or the sequence at which they stopped."""
    for sequence in ending.stop:
        if tuple(token_ids[-len(sequence) :]) == sequence:
            return token_ids[: -len(sequence)]
    return token_ids[:-1] if token_ids and token_ids[-1] in ending.end_ids else token_ids
