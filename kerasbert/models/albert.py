"""ALBERT (Lan et al. 2019, arXiv:1909.11942): few blocks, each used by many layers.

Google's v1 and v2, English and Chinese, as archives and as TF-Hub exports; albert_zh in Google's
naming (its early naming is in albert_zh.py); bojone's conversions; Hugging Face's files.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints import huggingface as hf
from kerasbert.checkpoints.mapping import NameTable, Op, Row, choose_table, dense, norm
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.layers import SharedSelfAttention
from kerasbert.models import bert, bert_names
from kerasbert.models.albert_config import (
    AlbertConfig,
    doubt_number_of_layers,
    google_groups,
    with_first_layers,
)
from kerasbert.models.registry import find_model
from kerasbert.models.sizes import revealed_sizes

logger = logging.getLogger("kerasbert")

_ATTENTION, _FEED_FORWARD = "Transformer-{i}-MultiHeadSelfAttention", "Transformer-{i}-FeedForward"

# {i} is the group; the rows of further inner groups differ in their number only.
_GROUP = "bert/encoder/transformer/group_{i}/inner_group_0"
_HF_GROUP = "albert.encoder.albert_layer_groups.{i}.albert_layers.0"
_INNER = re.compile(r"(inner_group_|albert_layers\.)0")
_INDICES = re.compile(
    r".*(?:group_|albert_layer_groups\.)(\d+)[/.](?:inner_group_|albert_layers\.)(\d+)[/.].*"
)
# bert4keras writes a copy for each layer of an albert_unshared, and reads the first of them.
_COPIES = r"bert/encoder/transformer/.*/(kernel|bias|beta|gamma)_\d+"

GOOGLE = NameTable(
    "google",
    (
        *(row for row in bert_names.ROWS if "{i}" not in row.variable),
        *dense(f"{_ATTENTION}/query", f"{_GROUP}/attention_1/self/query"),
        *dense(f"{_ATTENTION}/key", f"{_GROUP}/attention_1/self/key"),
        *dense(f"{_ATTENTION}/value", f"{_GROUP}/attention_1/self/value"),
        *dense(f"{_ATTENTION}/output", f"{_GROUP}/attention_1/output/dense"),
        *norm(f"{_ATTENTION}-Norm", f"{_GROUP}/LayerNorm"),
        *dense(f"{_FEED_FORWARD}/intermediate", f"{_GROUP}/ffn_1/intermediate/dense"),
        *dense(f"{_FEED_FORWARD}/output", f"{_GROUP}/ffn_1/intermediate/output/dense"),
        *norm(f"{_FEED_FORWARD}-Norm", f"{_GROUP}/LayerNorm_1"),
    ),
    optional=(*bert.BERT.tables[0].optional, _COPIES),
)

HUGGINGFACE = NameTable(
    "huggingface",
    (
        *hf.embeddings("albert."),
        *hf.mapping("albert."),
        *hf.linear(f"{_ATTENTION}/query", f"{_HF_GROUP}.attention.query"),
        *hf.linear(f"{_ATTENTION}/key", f"{_HF_GROUP}.attention.key"),
        *hf.linear(f"{_ATTENTION}/value", f"{_HF_GROUP}.attention.value"),
        *hf.linear(f"{_ATTENTION}/output", f"{_HF_GROUP}.attention.dense"),
        *hf.norm(f"{_ATTENTION}-Norm", f"{_HF_GROUP}.attention.LayerNorm"),
        *hf.linear(f"{_FEED_FORWARD}/intermediate", f"{_HF_GROUP}.ffn"),
        *hf.linear(f"{_FEED_FORWARD}/output", f"{_HF_GROUP}.ffn_output"),
        *hf.norm(f"{_FEED_FORWARD}-Norm", f"{_HF_GROUP}.full_layer_layer_norm"),
        *hf.linear("Pooler-Dense", "albert.pooler"),
        *hf.linear("NSP-Proba", "sop_classifier.classifier"),
        *hf.linear("MLM-Dense", "predictions.dense"),
        *hf.norm("MLM-Norm", "predictions.LayerNorm"),
        Row("MLM-Bias/bias", "predictions.bias", Op.TOKENS),
    ),
    optional=(
        r"(albert\.)?embeddings\.position_ids",
        r"(albert\.)?pooler\.(weight|bias)",
        # Heads not asked for; predictions.decoder is a copy of the token table and the bias.
        r"(predictions|sop_classifier|classifier|qa_outputs)\..*",
    ),
    root="albert.",
)


class ALBERT(bert.BERT):
    """ALBERT and its heads.

    A single block has bert4keras' names (``Transformer-FeedForward-Norm``); where there are
    several, they are numbered (``Transformer-0-FeedForward-Norm``): the inner blocks of the first
    group, of the second, ...

    Args:
        config: sizes and constants.
        with_sop: sentence order prediction; True for softmax, or an activation's name.
        with_nsp: bert4keras' name of ``with_sop``.
        share_layers: False gives every layer blocks of its own, which start from the shared ones
            (``model="albert_unshared"``); saved, they are as many groups as layers.
        **options: as :class:`BERT`.
    """

    family = "albert"
    config_class = AlbertConfig
    gelu = "gelu_tanh"
    config_name = "albert_config.json"
    attention_class = SharedSelfAttention

    def __init__(
        self,
        config,
        *,
        with_sop: bool | str = False,
        with_nsp: bool | str = False,
        share_layers: bool = True,
        **options,
    ):
        if with_sop and with_nsp:
            raise ValueError("with_nsp is the old name of with_sop: give only one of them.")
        super().__init__(config, with_nsp=with_sop or with_nsp, **options)
        self.share_layers = share_layers

    # ---- the body -------------------------------------------------------------------------------

    def block_depths(self) -> dict[str, list[int]]:
        """Each block's name, in order, and the hidden layers that it is a part of."""
        config, inner = self.config, self.config.inner_group_num
        groups = config.groups if self.share_layers else range(config.num_hidden_layers)
        used = sorted(set(groups))
        if self.share_layers and len(used) * inner == 1:
            return {"Transformer": list(range(config.num_hidden_layers))}
        return {
            f"Transformer-{number * inner + j}": [i for i, g in enumerate(groups) if g == group]
            for number, group in enumerate(used)
            for j in range(inner)
        }

    def apply_block(self, x, index: int):
        for name, depths in self.block_depths().items():
            if index in depths:
                x = self.sublayer(x, self.attend, f"{name}-MultiHeadSelfAttention")
                x = self.sublayer(x, self.feed_forward, f"{name}-FeedForward")
        return x

    def attend(self, x, name: str):
        depths = self.block_depths()[name[: -len("-MultiHeadSelfAttention")]]
        # Made here, so that BERT's method finds it under its name.
        self.layer(self.attention_class, name, depths=depths, **self.attention_settings())
        return super().attend(x, name)

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = (GOOGLE, GOOGLE.with_prefix("module/", "tfhub"), HUGGINGFACE)
    marks = (
        r"(module/)?bert/encoder/transformer/group_\d+/.*",
        r"(albert\.)?encoder\.albert_layer_groups\..*",
    )
    model_types = ("albert",)

    @classmethod
    def select(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> type[ALBERT]:
        early = find_model("albert_zh")[0]
        known = early.recognizes(shapes, config) if shapes else "ln_type" in config
        return early if cls is ALBERT and known else cls

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        table = choose_table(cls.tables, shapes)
        found: dict[str, Any] = revealed_sizes(table, shapes)
        found.pop("num_hidden_layers", None)
        groups = _groups(shapes)
        if groups:
            found["num_hidden_groups"], found["inner_group_num"] = (
                1 + max(numbers) for numbers in zip(*groups)
            )
        mapping = [row.tensor for row in table.rows if row.variable == "Embedding-Mapping/kernel"]
        if found.get("embedding_size") == found.get("hidden_size"):
            found["project_equal_width"] = any(tensor in shapes for tensor in mapping)
        if any(re.fullmatch(_COPIES, name) for name in shapes):
            logger.warning(
                "The file holds a copy of the weights for each layer (kernel, kernel_1, ...), as "
                "bert4keras writes an albert_unshared. As there, all layers get the first copy."
            )
        return found

    @classmethod
    def review(cls, config: AlbertConfig, files: CheckpointFiles, overrides: frozenset[str]):
        if "num_hidden_layers" in overrides:
            return with_first_layers(config, files)
        doubt_number_of_layers(config, files)
        return config

    @classmethod
    def rows(
        cls, table: NameTable, config: AlbertConfig, layers: Mapping[str, keras.layers.Layer]
    ) -> list[Row]:
        found = [row for row in table.rows if "{i}" not in row.variable]
        templates = [row for row in table.rows if "{i}" in row.variable]
        for name, (depths, inner) in _blocks(layers).items():
            # Blocks that are shared with another model may reach deeper there.
            depths = [depth for depth in depths if depth < config.num_hidden_layers]
            for group in dict.fromkeys(config.groups[depth] for depth in depths):
                for row in templates:
                    variable = row.variable.replace("Transformer-{i}", name)
                    tensor = _INNER.sub(rf"\g<1>{inner}", row.tensor.format(i=group))
                    found.append(dataclasses.replace(row, variable=variable, tensor=tensor))
        return found

    def unused_tensors(self, table: NameTable) -> list[str]:
        """Regular expressions of the groups that the configuration has and no layer uses."""
        unused = set(range(self.config.num_hidden_groups)) - set(self.config.groups)
        number = "|".join(map(str, sorted(unused)))
        return [rf".*(group_|albert_layer_groups\.)({number})[/.].*"] if unused else []

    @classmethod
    def hints(cls, report: LoadReport, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        missing = _groups(tensor for _, tensor in report.missing)
        known = _groups(tensor for _, tensor, *_ in (*report.loaded, *report.mismatched))
        unexpected = _groups(tensor for tensor, _ in report.unexpected)
        in_file = _groups(shapes)
        if not in_file or not (missing - in_file or unexpected - missing - known):
            return []
        groups, inner = (1 + max(numbers) for numbers in zip(*in_file))
        return [
            f"the file has {groups} group(s) of layers with {inner} inner group(s) each: pass "
            f"num_hidden_groups={groups}, inner_group_num={inner}."
        ]

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> AlbertConfig:
        blocks = _blocks(layers)
        first = next(iter(blocks))
        renamed = {
            f"Transformer-0-{part}": layers[f"{first}-{part}"]
            for part in ("MultiHeadSelfAttention", "FeedForward")
        }
        described = super().describe({**layers, **renamed})
        shared = list(dict.fromkeys(depths for depths, _ in blocks.values()))
        count = 1 + max(max(depths) for depths in shared)
        groups = tuple(
            next(group for group, depths in enumerate(shared) if i in depths) for i in range(count)
        )
        # What the rule cannot say is written as one group for each layer.
        says = google_groups(count, len(shared)) == groups
        sizes = {
            **vars(described),
            "num_hidden_layers": count,
            "num_hidden_groups": len(shared) if says else count,
            "inner_group_num": len(blocks) // len(shared),
            "project_equal_width": "Embedding-Mapping" in layers
            and described.embedding_size is None,
        }
        return cls.config_class(**sizes)


def _groups(names: Iterable[str]) -> set[tuple[int, int]]:
    """The (group, inner group) of every tensor name that has them."""
    return {(int(m[1]), int(m[2])) for m in map(_INDICES.fullmatch, names) if m}


def _blocks(layers: Mapping[str, keras.layers.Layer]) -> dict[str, tuple[tuple[int, ...], int]]:
    """Each block's name, in order, its hidden layers, and its number among the blocks of these."""
    named = (re.fullmatch(r"(Transformer(?:-(\d+))?)-MultiHeadSelfAttention", n) for n in layers)
    found: dict[str, tuple[tuple[int, ...], int]] = {}
    for match in sorted(filter(None, named), key=lambda match: int(match[2] or 0)):
        depths = tuple(layers[match[0]].depths)
        found[match[1]] = depths, sum(depths == other for other, _ in found.values())
    return found
