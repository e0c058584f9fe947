"""The base of every model: layers made once by name, put together by a family's differences."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from kerasbert.backend import dtype_policy, keras
from kerasbert.checkpoints import huggingface, keras_names
from kerasbert.checkpoints.loading import open_tensors
from kerasbert.checkpoints.mapping import NameTable, Row, expand
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles, find_checkpoint
from kerasbert.config import TransformerConfig
from kerasbert.layers import AttentionMask
from kerasbert.layers.activations import canonical_names
from kerasbert.layers.masks import PATTERNS
from kerasbert.layers.recompute import RecomputableLayer
from kerasbert.models.weights import Loaded, load_weights, save_weights_as_checkpoint


class Transformer:
    """Builds an ordinary functional ``keras.Model`` from a configuration.

    A family is a subclass: it says what its inputs, embeddings, blocks and heads are, and which
    rows bind its variables to a checkpoint's names. Layers carry bert4keras' names, which
    notebooks look up with ``model.get_layer``.

    Args:
        config: sizes and constants.
        application: "encoder", "lm" (left to right) or "unilm" (source, then left to right).
        sequence_length: fixed length of the inputs, or None for any.
        dtype: a dtype policy or its name; None is the global policy.
        name: name of the model.
        prefix: put before every layer's name, for a second copy inside one model.
        layers: layers of another Transformer, by unprefixed name, to share instead of making new
            ones.
        keep_tokens: ids of the checkpoint's vocabulary that stay, in their new order.
        compound_tokens: new tokens after those, each the mean of tokens: a list of ids (of the kept
            vocabulary), or a pair (ids, weights).
        custom_position_ids: whether positions are a further input, ``Input-Position``.
        with_attention_mask: whether the mask is a further input, ``Input-Mask``; otherwise
            padding is known by its id.
        recompute: whether attention and feed-forward layers forget their insides in training and
            compute them again for the gradients: less memory, more time.

    Attributes:
        model: the ``keras.Model``, after :meth:`build`.
        hidden_states: what :meth:`apply_heads` was given: the symbolic (batch, length, hidden_size)
            behind the last block.
        layers: every layer by its unprefixed name.
        files: what the factory found: paths of the config, the vocabulary, the tensors.
        loaded: where the weights came from, and which tensors were left; None if untrained.
    """

    family: ClassVar[str] = "transformer"
    config_class: ClassVar[type[TransformerConfig]] = TransformerConfig
    applications: ClassVar[tuple[str, ...]] = PATTERNS
    # What "gelu" means in the published graphs of the family.
    gelu: ClassVar[str] = "gelu_erf"

    def __init__(
        self,
        config: TransformerConfig,
        *,
        application: str = "encoder",
        sequence_length: int | None = None,
        dtype=None,
        name: str | None = None,
        prefix: str = "",
        layers: Mapping[str, keras.layers.Layer] | None = None,
        keep_tokens: Sequence[int] | None = None,
        compound_tokens: Sequence | None = None,
        custom_position_ids: bool = False,
        with_attention_mask: bool = False,
        recompute: bool = False,
    ):
        if application not in self.applications:
            raise ValueError(
                f"application of a model {self.family!r} must be one of "
                f"{', '.join(self.applications)}. Received: {application!r}"
            )
        if application == "unilm" and config.type_vocab_size == 0:
            raise ValueError("application='unilm' reads its mask from the segments: "
                             "type_vocab_size (segment_vocab_size) must not be 0.")  # fmt: skip
        self.application = application
        self.sequence_length = sequence_length
        self.dtype_policy = dtype_policy(dtype)
        self.name = name or f"{prefix}{self.family}"
        self.prefix = prefix
        self.layers: dict[str, keras.layers.Layer] = {}
        self._shared_layers = dict(layers or {})
        self.keep_tokens = None if keep_tokens is None else list(keep_tokens)
        self.compound_tokens = list(compound_tokens or [])
        self.custom_position_ids = custom_position_ids
        self.with_attention_mask = with_attention_mask
        self.recompute = recompute
        self.config = self._with_kept_vocabulary(config)
        self.inputs: list = []
        self.outputs: list = []
        self.model: keras.Model | None = None
        self.hidden_states = None
        self.files = CheckpointFiles()
        self.loaded: Loaded | None = None
        self._named_inputs: dict[str, Any] = {}
        self._attention_bias = None

    def _with_kept_vocabulary(self, config: TransformerConfig) -> TransformerConfig:
        """The configuration with the vocabulary size that keep_tokens and compound_tokens leave."""
        kept = config.vocab_size
        if self.keep_tokens is not None:
            wrong = [i for i in self.keep_tokens if not 0 <= int(i) < config.vocab_size]
            if wrong:
                raise ValueError(
                    f"keep_tokens holds ids outside the vocabulary of {config.vocab_size}: "
                    f"{wrong[:5]}"
                )
            kept = len(self.keep_tokens)
        return dataclasses.replace(config, vocab_size=kept + len(self.compound_tokens))

    @classmethod
    def accepted_options(cls) -> set[str]:
        """Names of the keyword arguments of this family and its bases."""
        names = set()
        for base in cls.__mro__:
            if "__init__" in vars(base):
                parameters = inspect.signature(base.__init__).parameters.values()
                names |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        return names

    # ---- building -------------------------------------------------------------------------------

    @property
    def activation(self) -> str:
        """The canonical name of the configured activation, the first one of a gated pair."""
        names = self.feed_forward_activation
        return names if isinstance(names, str) else names[0]

    @property
    def feed_forward_activation(self) -> str | list[str]:
        """The canonical name of the configured activation, or both names of a gated pair."""
        return canonical_names(self.config.hidden_act, gelu=self.gelu)

    def layer(self, layer_class: type, name: str, **settings) -> keras.layers.Layer:
        """The layer of that name, made on first use and the same object afterwards."""
        if name not in self.layers:
            settings.setdefault("dtype", self.dtype_policy)
            if issubclass(layer_class, RecomputableLayer):
                settings.setdefault("recompute", self.recompute)
            shared = self._shared_layers.get(name)
            self.layers[name] = shared or layer_class(name=self.prefix + name, **settings)
        return self.layers[name]

    def input(self, name: str):
        """The integer (batch, length) input of that name, made on first use."""
        if name not in self._named_inputs:
            self._named_inputs[name] = keras.Input(
                shape=(self.sequence_length,), dtype="int32", name=self.prefix + name
            )
        return self._named_inputs[name]

    def build(self) -> keras.Model:
        """Makes the model, with untrained weights."""
        self.inputs = self.make_inputs()
        x = self.apply_embeddings()
        for index in range(self.config.num_hidden_layers):
            x = self.apply_block(x, index)
        self.hidden_states = x
        self.outputs = self.apply_heads(x)
        inputs, outputs = (x[0] if len(x) == 1 else x for x in (self.inputs, self.outputs))
        self.model = keras.Model(inputs, outputs, name=self.name)
        return self.model

    @property
    def reads_segments(self) -> bool:
        """Whether the segments are an input."""
        return self.config.type_vocab_size > 0

    def make_inputs(self) -> list:
        """The model's inputs in their order: tokens, segments, positions, mask."""
        inputs = [self.input("Input-Token")]
        if self.reads_segments:
            inputs.append(self.input("Input-Segment"))
        if self.custom_position_ids:
            inputs.append(self.input("Input-Position"))
        if self.with_attention_mask:
            inputs.append(self.input("Input-Mask"))
        return inputs

    def attention_bias(self):
        """The additive mask that every block uses."""
        if self._attention_bias is None:
            names = {"encoder": "Attention-Mask", "lm": "Attention-LM-Mask",
                     "unilm": "Attention-UniLM-Mask"}  # fmt: skip
            layer = self.layer(
                AttentionMask,
                names[self.application],
                pattern=self.application,
                pad_token_id=self.config.pad_token_id,
            )
            extra = {}
            if self.application == "unilm":
                extra["segment_ids"] = self.input("Input-Segment")
            if self.with_attention_mask:
                extra["attention_mask"] = self.input("Input-Mask")
            self._attention_bias = layer(self.input("Input-Token"), **extra)
        return self._attention_bias

    def apply_embeddings(self):
        """The vectors that enter block 0."""
        raise NotImplementedError(f"{type(self).__name__} must say what its embeddings are.")

    def apply_block(self, x, index: int):
        """Block ``index`` applied to (batch, length, hidden_size)."""
        raise NotImplementedError(f"{type(self).__name__} must say what its blocks are.")

    def apply_heads(self, x) -> list:
        """The model's outputs from the last hidden states."""
        return [x]

    # ---- checkpoints ----------------------------------------------------------------------------

    # How files name the family's variables. The first table is the one that is written; one of
    # files with our own names is added to every family's.
    tables: ClassVar[tuple[NameTable, ...]] = ()
    # Regular expressions of tensor names that only this family's checkpoints hold, and the
    # `model_type` that its json may say.
    marks: ClassVar[tuple[str, ...]] = ()
    model_types: ClassVar[tuple[str, ...]] = ()
    # The name of the json beside a saved checkpoint.
    config_name: ClassVar[str] = "bert_config.json"
    # Other families whose files hold this one's weights as well.
    published_with: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("tables", ())
        if own and all(table.name != keras_names.TABLE for table in own):
            cls.tables = (*own, keras_names.keras_table(own))

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        """Whether tensor names are this family's; where they do not tell, what the json says."""
        names, own = list(names), vars(cls)  # what a base class says is the base class
        if any(re.fullmatch(mark, name) for mark in own.get("marks", ()) for name in names):
            return True
        shared = (huggingface.ANONYMOUS, keras_names.TOKEN_TABLE)
        anonymous = not names or any(name in names for name in shared)
        return anonymous and config.get("model_type") in own.get("model_types", ())

    @classmethod
    def select(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> type[Transformer]:
        """The class for a checkpoint that the user says is of this family.

        A family of several forms under one name returns the form that tensors and json show.

        Args:
            shapes: of the checkpoint's tensors; may be empty.
            config: values of the json; may be empty.
        """
        return cls

    @classmethod
    def with_own_config(
        cls, files: CheckpointFiles, shapes: Mapping[str, tuple[int, ...]]
    ) -> CheckpointFiles:
        """What was found, with the configuration that is meant for this class.

        ELECTRA comes with one json for the discriminator and one for the generator.

        Args:
            files: what was found, with the best configuration that lay beside the checkpoint.
            shapes: of the checkpoint's tensors; may be empty.
        """
        return files

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a checkpoint's variables reveal, for what its json (also given) leaves out."""
        return {}

    @classmethod
    def review(
        cls, config: TransformerConfig, files: CheckpointFiles, overrides: frozenset[str]
    ) -> TransformerConfig:
        """The configuration after a look at where it comes from; doubts about it are logged.

        Args:
            config: what was read, with the caller's word in it.
            files: the files that it was read from.
            overrides: fields that the caller set by hand.
        """
        return config

    @classmethod
    def rows(
        cls,
        table: NameTable,
        config: TransformerConfig,
        layers: Mapping[str, keras.layers.Layer],
    ) -> list[Row]:
        """A table's rows for a model, with the indices of blocks written out.

        Args:
            table: one of the family's.
            config: says which blocks the checkpoint has.
            layers: of the model, by unprefixed name.
        """
        return expand(table.rows, config.num_hidden_layers)

    def unused_tensors(self, table: NameTable) -> list[str]:
        """Regular expressions of tensors that this model has no use for."""
        return []

    @classmethod
    def hints(cls, report: LoadReport, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Sentences on why a checkpoint does not fit, beyond those for every family."""
        return []

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> TransformerConfig:
        """The configuration that layers of this family, by unprefixed name, amount to."""
        raise NotImplementedError(f"{cls.__name__} must say how its layers are described.")

    def load_weights_from_checkpoint(self, checkpoint, strict: bool = True):
        """Loads another checkpoint, in any form that ``build_transformer_model`` takes."""
        files = find_checkpoint(checkpoint)
        return load_weights(self, open_tensors(files), files.name, strict=strict)

    def save_weights_as_checkpoint(self, path, **options) -> str:
        """Saves in Google's format; see :func:`kerasbert.save_weights_as_checkpoint`."""
        return save_weights_as_checkpoint(self, path, **options)
