"""XLNet (Yang et al. 2019, arXiv:1906.08237): Google's English models and HFL's Chinese ones.

What differs from BERT: positions and segments are relative and enter every block's attention; texts
are padded on the left and end with [CLS]; a memory of the text before may be given; the language
model predicts in any order, by a second stream of queries that do not see their own token.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints.mapping import choose_table
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.layers.permutation import (
    FeedForwardWithDropout,
    LastToken,
    LeftPaddedEmbedding,
    MaskEmbedding,
    OtherSegment,
    PermutationMask,
    UpdateMemory,
    WithMemory,
)
from kerasbert.layers.relative_xl import (
    QueryBias,
    RelativePositionEncoding,
    RelativeXLSelfAttention,
)
from kerasbert.models.bert import BERT
from kerasbert.models.sizes import revealed_sizes
from kerasbert.models.xlnet_names import ATTENTION, BLOCK, TABLES, TIED_BIAS, XLNetConfig

Shapes = Mapping[str, tuple[int, ...]]

# Options of BERT that ask for what an XLNet has not.
MEANINGLESS = (
    "with_nsp",
    "custom_position_ids",
    "hierarchical_position",
    "residual_attention_scores",
    "shared_segment_embeddings",
)


class XLNet(BERT):
    """XLNet and its heads.

    Inputs: token_ids and segment_ids, (batch, length). Of segments (in Google's texts 0, 1, 2 for
    [CLS] and 4 for padding) only counts whether two are the same. Further inputs, in this order:
    Input-Mask, with ``with_attention_mask``; for application "permutation" Input-Permutation-Mask
    (batch, length, length), 1 where token i may not see token j, and Input-Target-Mapping (batch,
    targets, length), 1 at each target's place; with ``memory_length`` Input-Memory, float (batch,
    num_hidden_layers, any length, hidden_size), of length 0 for the first piece of a text.

    Outputs: the hidden states (batch, length, hidden_size); or, where heads are asked for, these
    alone: pooled vector (batch, hidden_size), then the probabilities over the vocabulary (batch,
    length, vocab_size); with ``memory_length`` last the memory for the next piece.

    Applications: "encoder"; "permutation", the language model that XLNet was trained as, whose
    probabilities are those of each target (batch, targets, vocab_size); and "lm", the same from
    left to right: place i has the probabilities of token i + 1 given those up to i, where token
    i + 1 is taken to be of token i's segment.

    Args:
        config: sizes and constants.
        memory_length: how many tokens the memory keeps; None for no memory.
        **options: as :class:`BERT`. ``with_pool`` is a tanh layer over the last token, [CLS], which
            only fine-tuned files hold; ``with_mlm`` is the language model's head, which
            applications "permutation" and "lm" have always.

    Raises:
        ValueError: for options that have no meaning in an XLNet.
    """

    family = "xlnet"
    config_class = XLNetConfig
    config_name = "xlnet_config.json"
    applications = ("encoder", "lm", "permutation")
    gelu = "gelu_tanh"
    attention_class = RelativeXLSelfAttention
    pooled_token = LastToken

    def __init__(self, config, *, memory_length: int | None = None, **options):
        for name in MEANINGLESS:
            if options.get(name):
                raise ValueError(
                    f"{name} has no meaning in an XLNet: positions and segments are relative, and "
                    f"there is no next sentence head. Received: {name}={options[name]!r}"
                )
        whole = isinstance(memory_length, int) and not isinstance(memory_length, bool)
        if memory_length is not None and (not whole or memory_length < 1):
            raise ValueError(
                "memory_length must be a positive number of tokens, or None for no memory. "
                f"Received: {memory_length!r}"
            )
        super().__init__(config, **options)
        self.with_mlm = self.with_mlm or self.application == "permutation"
        self.memory_length = memory_length
        self._block_inputs: list = []

    # ---- the body -------------------------------------------------------------------------------

    def make_inputs(self) -> list:
        config, length = self.config, self.sequence_length
        shapes = {}
        if self.application == "permutation":
            shapes["Input-Permutation-Mask"] = ((length, length), "int32")
            shapes["Input-Target-Mapping"] = ((None, length), "int32")
        if self.memory_length:
            memory = (config.num_hidden_layers, None, config.hidden_size)
            shapes["Input-Memory"] = (memory, "float32")
        inputs = super().make_inputs()
        for name, (shape, dtype) in shapes.items():
            tensor = keras.Input(shape=shape, dtype=dtype, name=self.prefix + name)
            self._named_inputs[name] = tensor
            inputs.insert(len(inputs) - len(self.additional_inputs), tensor)
        return inputs

    def given(self, **names: str) -> dict[str, Any]:
        """Keyword arguments for a layer: those inputs that the model has."""
        return {key: self._named_inputs[n] for key, n in names.items() if n in self._named_inputs}

    def apply_embeddings(self) -> list:
        """The streams that enter block 0: hidden states and, where there are any, queries."""
        config, memory = self.config, self.given(memory="Input-Memory")
        common = {"output_dim": config.hidden_size, "stddev": config.initializer_range}
        token = self.layer(
            LeftPaddedEmbedding,
            "Embedding-Token",
            input_dim=config.vocab_size,
            mask_value=config.pad_token_id,
            family=self.family,
            **common,
        )
        x = token(self.input("Input-Token"))
        position = self.layer(
            RelativePositionEncoding, "Embedding-Position", clamp_length=config.clamp_len
        )
        segment = self.layer(OtherSegment, "Attention-Segment")
        self._attention_inputs = {
            "position_encoding": self.dropout(position(x, **memory), "Embedding-Position-Dropout"),
            "other_segment": segment(self.input("Input-Segment"), **memory),
            **self.attention_biases(),
            **self.given(target_mapping="Input-Target-Mapping"),
        }
        streams = [self.dropout(x, "Embedding-Dropout")]
        if self.application != "encoder":
            mask = self.layer(MaskEmbedding, "Embedding-Mask", **common)
            queries = mask(self._named_inputs.get("Input-Target-Mapping", x))
            streams.append(self.dropout(queries, "Embedding-Mask-Dropout"))
        return streams

    def attention_biases(self) -> dict[str, Any]:
        """The additive masks of the streams."""
        layer = self.layer(
            PermutationMask,
            "Attention-Mask",
            pattern=self.application,
            pad_token_id=self.config.pad_token_id,
        )
        extra = self.given(
            attention_mask="Input-Mask",
            permutation_mask="Input-Permutation-Mask",
            memory="Input-Memory",
        )
        biases = layer(self.input("Input-Token"), **extra)
        if self.application != "permutation":
            return {"attention_bias": biases}
        return {"attention_bias": biases[0], "query_attention_bias": biases[1]}

    def apply_block(self, x: list, index: int) -> list:
        """Block ``index`` applied to the streams."""
        name = f"Transformer-{index}"
        self._block_inputs.append(x[0])
        streams = [
            self.residual(stream, change, f"{name}-MultiHeadSelfAttention")
            for stream, change in zip(x, self.attend_streams(x, index))
        ]
        return [self.sublayer(s, self.feed_forward, f"{name}-FeedForward") for s in streams]

    def attend_streams(self, x: list, index: int) -> list:
        """Attention of block ``index``: what it adds to each stream."""
        name = f"Transformer-{index}"
        extra = {"query_stream": x[1]} if len(x) > 1 else {}
        if self.memory_length:
            memory = self.layer(WithMemory, f"{name}-Memory", index=index)
            extra["context"] = memory(x[0], memory=self._named_inputs["Input-Memory"])
        layer = self.layer(
            self.attention_class, f"{name}-MultiHeadSelfAttention", **self.attention_settings()
        )
        bias = self.query_bias(name)
        changes = layer(x[0], query_bias=bias, **self._attention_inputs, **extra)
        return list(changes) if len(x) > 1 else [changes]

    def query_bias(self, block: str):
        """The biases of a block, (3, num_attention_heads, head_size)."""
        config = self.config
        layer = self.layer(
            QueryBias,
            f"{block}-QueryBias" if config.untie_r else TIED_BIAS,
            num_heads=config.num_attention_heads,
            head_size=config.head_size,
            stddev=config.initializer_range,
        )
        return layer(self.input("Input-Token"))

    def attention_settings(self) -> dict[str, Any]:
        config = self.config
        return {
            "num_heads": config.num_attention_heads,
            "head_size": config.head_size,
            "output_size": config.hidden_size,
            "dropout": config.attention_probs_dropout_prob,
            "query_offset": int(self.application == "lm"),
            "stddev": config.initializer_range,
        }

    def feed_forward(self, x, name: str):
        config = self.config
        return self.layer(
            FeedForwardWithDropout,
            name,
            intermediate_size=config.intermediate_size,
            output_size=config.hidden_size,
            activation=self.activation,
            dropout=config.hidden_dropout_prob,
            stddev=config.initializer_range,
        )(x)

    # ---- the heads ------------------------------------------------------------------------------

    def apply_heads(self, x: list) -> list:
        last = self.dropout(x[-1], "Output-Dropout")
        outputs = []
        if self.with_pool:
            outputs.append(self.apply_pooler(last if len(x) == 1 else x[0]))
        if self.with_mlm:
            outputs.append(self.apply_mlm(last))
        outputs = outputs or [last]
        if self.memory_length:
            update = self.layer(UpdateMemory, "Output-Memory", length=self.memory_length)
            outputs.append(update([self._named_inputs["Input-Memory"], *self._block_inputs]))
        return outputs

    def transform(self, x):
        return x  # hidden states are scored as they are

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = TABLES
    marks = (r"model/transformer/r_w_bias", r"(transformer\.)?layer\.\d+\.rel_attn\.r_w_bias")
    model_types = ("xlnet",)

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = list(names)
        spelt_so = not names and {"n_token", "d_inner", "untie_r"} <= config.keys()
        return spelt_so or super().recognizes(names, config)

    @classmethod
    def with_own_config(cls, files: CheckpointFiles, shapes: Shapes) -> CheckpointFiles:
        """What was found, where a json of Hugging Face's is read as their code does.

        There "gelu" is the erf form, one rate of dropout serves all, and biases are never tied.
        """
        config = dict(files.config or {})
        if "model_type" not in config:
            return files
        config["untie_r"] = True
        if config.get("ff_activation") == "gelu":
            config["ff_activation"] = "gelu_erf"
        if "dropout" in config:
            config.setdefault("dropatt", config["dropout"])
        return dataclasses.replace(files, config=config)

    @classmethod
    def infer_config(cls, shapes: Shapes, config: Mapping[str, Any]) -> dict[str, Any]:
        table = choose_table(cls.tables, shapes)
        found = revealed_sizes(table, shapes)
        found.pop("embedding_size", None)
        tensors = {row.variable: row.tensor.format(i=0) for row in table.rows}
        kernel = shapes.get(tensors[f"{ATTENTION}/query/kernel"], ())
        if len(kernel) == 3:
            sizes = ("hidden_size", "num_attention_heads", "attention_head_size")
            found.update(zip(sizes, map(int, kernel)))
        bias = shapes.get(tensors.get(f"{TIED_BIAS}/content_bias", ""))
        if bias:
            found["untie_r"] = len(bias) == 3
        return found

    @classmethod
    def hints(cls, report: LoadReport, shapes: Shapes) -> list[str]:
        missing = {path.split("/")[0] for path, _ in report.missing}
        reasons = {
            "Pooler-Dense": "this file has no layer over the last token: only fine-tuning makes "
            "it. Build without with_pool, and put kerasbert.layers.LastToken and a Dense layer "
            "after the model.",
            "Embedding-Mask": "this file has lost the vector that queries start from: of it only "
            "an encoder can be built.",
        }
        return [reason for layer, reason in reasons.items() if layer in missing]

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> XLNetConfig:
        token, attention = layers["Embedding-Token"], layers[ATTENTION.format(i=0)]
        feed_forward = layers[f"{BLOCK}-FeedForward".format(i=0)]
        return XLNetConfig(
            vocab_size=token.input_dim,
            hidden_size=token.output_dim,
            num_hidden_layers=sum(
                bool(re.fullmatch(ATTENTION.format(i=r"\d+"), n)) for n in layers
            ),
            num_attention_heads=attention.num_heads,
            attention_head_size=attention.head_size,
            intermediate_size=feed_forward.intermediate_size,
            hidden_act="gelu" if feed_forward.activation == cls.gelu else feed_forward.activation,
            hidden_dropout_prob=layers["Embedding-Dropout"].rate,
            attention_probs_dropout_prob=attention.dropout,
            initializer_range=token.stddev,
            layer_norm_eps=layers[f"{ATTENTION}-Norm".format(i=0)].epsilon,
            pad_token_id=token.mask_value,
            untie_r=TIED_BIAS not in layers,
            clamp_len=layers["Embedding-Position"].clamp_length,
        )
