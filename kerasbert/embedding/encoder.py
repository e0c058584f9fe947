"""``TextEncoder``: texts to vectors, in the order of the texts and at the speed of the machine."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from kerasbert.backend import keras, tf
from kerasbert.embedding import search as searching
from kerasbert.embedding.index import VectorIndex
from kerasbert.embedding.npy_file import NpyWriter
from kerasbert.embedding.pooling import vector_model
from kerasbert.embedding.precision import computing_in
from kerasbert.embedding.prefetch import prefetch
from kerasbert.embedding.windows import INPUTS, Padding, Window, make_window, read_windows, tokenize
from kerasbert.layers import PositionEmbedding
from kerasbert.layers.embeddings import Embedding
from kerasbert.tokenizers.checking import check_vocabulary
from kerasbert.tokenizers.inputs import as_list

logger = logging.getLogger("kerasbert")

# Enough for large matrix products, and few enough that what lies between them stays in the cache.
TOKENS_PER_BATCH = 2048


class TextEncoder:
    """Turns texts into vectors::

        model = build_transformer_model("chinese_simbert_L-12_H-768_A-12.zip", with_pool="linear")
        encoder = TextEncoder(model, Tokenizer.from_pretrained("chinese_simbert_L-12_..."))
        vectors = encoder.encode(texts)

    The vectors are those of each text computed alone: neither the order nor the batch that a text
    is in matters, up to rounding. What the model learns later holds here too.

    Args:
        model: of :func:`kerasbert.build_transformer_model`, of any family that reads one text. Its
            heads may be there; they are not computed.
        tokenizer: the tokenizer of the model.
        pooling: how token vectors become one: see :func:`kerasbert.embedding.vector_model`.
        normalize: whether vectors are scaled to length 1, so that their product is the cosine.
        max_length: most tokens of a text, special tokens counted; what is beyond is left out, with
            a warning. None is what the model and the tokenizer can do.

    Attributes:
        model: the Keras model from inputs to float32 (batch, dimension) vectors. To export it with
            texts as input: ``keras.Model(text, encoder.model(tokenizer.as_layer()(text)))``.
        tokenizer: as given.
        max_length: most tokens of a text, or None for any number.
        dimension: of the vectors.

    Raises:
        ValueError: model, tokenizer and pooling do not fit each other; says what to do.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Callable,
        pooling: str | Callable = "pooler",
        normalize: bool = True,
        max_length: int | None = None,
    ):
        check_vocabulary(model, tokenizer)
        self._names = [_input_of(tensor.name) for tensor in getattr(model, "inputs", None) or ()]
        self.model = vector_model(model, pooling, normalize)
        self.tokenizer = tokenizer
        self.dimension = int(self.model.outputs[0].shape[-1])
        self.normalize = normalize
        width = self.model.inputs[0].shape[1]
        self.max_length = _max_length(self.model, tokenizer, max_length, width)
        template = tokenizer.template
        self._padding = Padding(
            _pad_id(self.model, tokenizer),
            template.pad_segment,
            (tokenizer._padding_side or template.padding_side) == "left",
            width,
        )
        self._functions: dict[str | None, Callable] = {}

    def encode(
        self,
        texts: str | Iterable[str],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        dtype: str | None = None,
        output: str | os.PathLike | None = None,
    ) -> np.ndarray:
        """Computes the vectors of texts.

        Texts are read, tokenized and sorted by length in windows of up to 16,384, in a thread
        beside the computation. The model is compiled once for all lengths.

        Args:
            texts: one text, or an iterable of texts. A generator is read once, and with ``output``
                never held in memory as a whole.
            batch_size: most texts that are computed at once; None for as many as suit their length.
            show_progress_bar: True or False; None shows one on a terminal for 1,000 texts or more.
            dtype: what to compute in, "float32" or "bfloat16"; None is as the model was built. The
                weights stay as they are and are cast for each batch.
            output: path of a ``.npy`` file that the vectors are written to as they come. It gets
                its name when it is whole.

        Returns:
            float32 (texts, dimension), in the order of the texts; for one text (dimension,). With
            ``output`` the file, mapped to memory (read-only).

        Raises:
            TypeError: something is not a text; says which.
            ValueError: an impossible option, or a model that computes NaN.
        """
        if isinstance(texts, (str, bytes)):
            vector = self.encode([texts], batch_size, show_progress_bar, dtype)[0]
            if output is None:
                return vector
            texts = [texts]
        if batch_size is not None and (
            isinstance(batch_size, bool)
            or not isinstance(batch_size, (int, np.integer))
            or batch_size < 1
        ):
            raise ValueError(f"batch_size must be a positive whole number. Received: {batch_size}")
        function = self._function(dtype)
        if not hasattr(texts, "__next__"):
            texts = as_list(texts, "texts")
        total = len(texts) if hasattr(texts, "__len__") else None
        with self._progress(total, show_progress_bar) as progress:
            parts = self._windows(texts, batch_size, function, progress)
            if output is not None:
                with NpyWriter(output, self.dimension) as file:
                    for part in parts:
                        file.write(part)
                return np.load(output, mmap_mode="r") if file.rows else np.load(output)
            parts = list(parts)
        empty = np.zeros((0, self.dimension), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [empty])

    def similarity(self, a, b=None, **options) -> np.ndarray:
        """The cosine of each of ``a`` with each of ``b``.

        Args:
            a: texts, or vectors (any number, dimension).
            b: the same; None is ``a``.
            **options: of :meth:`encode`.

        Returns:
            float32 (number of a, number of b).
        """
        a = self._vectors(a, **options)
        return searching.similarity(a, a if b is None else self._vectors(b, **options))

    def search(self, queries, corpus, top_k: int = 10, **options) -> tuple[np.ndarray, np.ndarray]:
        """The most similar texts of a corpus for each query, exactly.

        Args:
            queries: texts, or vectors (queries, dimension).
            corpus: texts; vectors, a memory-mapped file too; or an index with ``search``.
            top_k: how many for each query; fewer where the corpus has fewer.
            **options: of :meth:`encode`.

        Returns:
            Cosines, float32 (queries, top_k), the highest first; and the numbers of the texts in
            the corpus, int64 (queries, top_k).
        """
        queries = self._vectors(queries, **options)
        if hasattr(corpus, "search"):
            return corpus.search(queries, top_k)
        return searching.search(queries, self._vectors(corpus, **options), top_k)

    def index(self, texts: Iterable[str], **options) -> VectorIndex:
        """An index of texts, to search and to save.

        Args:
            texts: the texts.
            **options: of :meth:`encode`.
        """
        texts = as_list(texts, "texts")
        return VectorIndex(self.encode(texts, **options), texts)

    def _vectors(self, texts, **options) -> np.ndarray:
        """Vectors of texts, or what is vectors already."""
        if isinstance(texts, (str, bytes)):
            texts = [texts]
        if isinstance(texts, np.ndarray) and texts.dtype.kind == "f":
            return texts
        return self.encode(texts, **options)

    def _windows(self, texts, batch_size, function, progress) -> Iterator[np.ndarray]:
        """The vectors of each window, float32 (texts, dimension)."""
        done = truncated = 0
        made = prefetch(self._prepare(window, batch_size) for window in read_windows(texts))
        with contextlib.closing(made):
            for window in made:
                vectors = np.empty((window.count, self.dimension), np.float32)
                for batch in window.batches:
                    inputs = [tf.constant(batch.inputs[name]) for name in self._names]
                    vectors[batch.places] = function(*inputs).numpy()
                    progress.update(len(batch.places))
                bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
                if len(bad):
                    raise ValueError(
                        f"the vector of texts[{done + bad[0]}] is not finite: are the weights NaN, "
                        "or too large for the dtype that the model computes in?"
                    )
                done, truncated = done + window.count, truncated + window.truncated
                yield vectors
        if truncated:
            logger.warning(
                "%d of %d texts had more than max_length=%d tokens: their ends were left out",
                truncated,
                done,
                self.max_length,
            )

    def _prepare(self, texts: list[str], batch_size: int | None) -> Window:
        encoding, truncated = tokenize(self.tokenizer, texts, self.max_length)
        return make_window(encoding, truncated, self._padding, batch_size, TOKENS_PER_BATCH)

    def _function(self, dtype: str | None) -> Callable:
        """The model compiled, once for all lengths and numbers of texts."""
        if dtype not in self._functions:
            model = computing_in(self.model, dtype)
            signature = [tf.TensorSpec([None, self._padding.width], tf.int32)] * len(self._names)

            @tf.function(input_signature=signature)
            def vectors(*inputs):
                return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

            self._functions[dtype] = vectors
        return self._functions[dtype]

    def _progress(self, total: int | None, show: bool | None):
        from tqdm.auto import tqdm

        hidden = not show
        if show is None:  # tqdm's own None is: hidden where there is no terminal
            hidden = True if total is not None and total < 1000 else None
        return tqdm(total=total, disable=hidden, unit="text", unit_scale=True)


def _input_of(name: str) -> str:
    """What of an encoding a model's input gets."""
    for ending, column in INPUTS.items():
        if name.split(":")[0].endswith(ending) and "Decoder" not in name:
            return column
    raise ValueError(
        f"the model's input {name!r} is not made from a text alone: texts give {', '.join(INPUTS)}."
        " Build a model with these inputs; of T5 the encoder is one (model='t5_encoder')."
    )


def _pad_id(model: keras.Model, tokenizer) -> int:
    """The id of padding, which model and tokenizer must agree on."""
    tables = [layer for layer in model.layers if isinstance(layer, Embedding)]
    known = next((layer.mask_value for layer in tables if layer.mask_value is not None), None)
    own = tokenizer.pad_id
    if known is not None and own is not None and known != own:
        raise ValueError(
            f"the tokenizer pads with id {own}, and the model takes id {known} for padding: build "
            f"the model with pad_token_id={own}, or take the vocabulary that it was made for."
        )
    return known if own is None and known is not None else own or 0


def _max_length(model: keras.Model, tokenizer, wanted: int | None, width: int | None) -> int | None:
    """The most tokens of a text: the caller's word within what the model can take."""
    limits = [width] if width else []
    limits += [layer.longest for layer in model.layers if isinstance(layer, PositionEmbedding)]
    limit = min(limits, default=None)
    least = tokenizer.template.count(False) + 1
    if wanted is None:
        own = getattr(tokenizer, "model_max_length", None)
        return min(filter(None, (limit, own)), default=None)
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)) or wanted < least:
        raise ValueError(
            f"max_length must be a whole number of at least {least}: the tokenizer adds "
            f"{least - 1} special tokens. Received: {wanted!r}"
        )
    if limit is not None and wanted > limit:
        raise ValueError(
            f"max_length={wanted} is more than the {limit} positions of the model: use at most "
            f"{limit}, or build it with hierarchical_position=True."
        )
    return int(wanted)
