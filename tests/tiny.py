"""Tiny models and checkpoints that tests make on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kerasbert.checkpoints import google

CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 50,
}


def bert_tensors(config: dict = CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """Random values under the published names of a BERT with all its heads."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    width = config.get("embedding_size", hidden)
    shapes = {
        "bert/embeddings/word_embeddings": (config["vocab_size"], width),
        "bert/embeddings/token_type_embeddings": (config["type_vocab_size"], width),
        "bert/embeddings/position_embeddings": (config["max_position_embeddings"], width),
        "bert/pooler/dense/kernel": (hidden, hidden),
        "bert/pooler/dense/bias": (hidden,),
        "cls/predictions/output_bias": (config["vocab_size"],),
        "cls/predictions/transform/dense/kernel": (hidden, width),
        "cls/predictions/transform/dense/bias": (width,),
        "cls/seq_relationship/output_weights": (2, hidden),
        "cls/seq_relationship/output_bias": (2,),
    }
    norms = {"bert/embeddings": width, "cls/predictions/transform": width}
    if width != hidden:
        shapes["bert/encoder/embedding_hidden_mapping_in/kernel"] = (width, hidden)
        shapes["bert/encoder/embedding_hidden_mapping_in/bias"] = (hidden,)
    for i in range(config["num_hidden_layers"]):
        block = f"bert/encoder/layer_{i}"
        for name in ("attention/self/query", "attention/self/key", "attention/self/value",
                     "attention/output/dense"):  # fmt: skip
            shapes[f"{block}/{name}/kernel"] = (hidden, hidden)
            shapes[f"{block}/{name}/bias"] = (hidden,)
        shapes[f"{block}/intermediate/dense/kernel"] = (hidden, inner)
        shapes[f"{block}/intermediate/dense/bias"] = (inner,)
        shapes[f"{block}/output/dense/kernel"] = (inner, hidden)
        shapes[f"{block}/output/dense/bias"] = (hidden,)
        norms |= {f"{block}/attention/output": hidden, f"{block}/output": hidden}
    for name, size in norms.items():
        shapes[f"{name}/LayerNorm/gamma"] = shapes[f"{name}/LayerNorm/beta"] = (size,)
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * 0.2 + (1 if name.endswith("gamma") else 0)).astype("f")
        for name, shape in shapes.items()
    }


def write_checkpoint(folder: Path, config: dict = CONFIG, tensors=None) -> Path:
    """A folder laid out as the published ones; returns the prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bert_config.json").write_text(json.dumps(config))
    google.write(folder / "bert_model.ckpt", bert_tensors(config) if tensors is None else tensors)
    return folder / "bert_model.ckpt"


def inputs(batch: int = 2, length: int = 7, seed: int = 0) -> list[np.ndarray]:
    """Token ids with padding in the last row, and segment ids."""
    rng = np.random.default_rng(seed)
    token_ids = rng.integers(1, CONFIG["vocab_size"], (batch, length)).astype("int32")
    token_ids[-1, -2:] = 0
    segment_ids = np.zeros_like(token_ids)
    segment_ids[:, length // 2 :] = 1
    segment_ids[token_ids == 0] = 0
    return [token_ids, segment_ids]
