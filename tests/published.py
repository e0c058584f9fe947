"""Published checkpoints in small: the recorded names and dtypes with shrunk shapes.

``python -m tests.published`` loads every entry of the BERT family and prints a count.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import tf
from kerasbert.checkpoints import google

FACTS = Path(__file__).resolve().parents[2] / "shared" / "published" / "published.json"
BERT_FAMILIES = (
    "google_bert", "google_bert_24small", "hfl_bert_wwm", "hfl_macbert", "hfl_lert", "hfl_pert",
    "bert_domain", "zhuiyi_simbert", "zhuiyi_roberta_small", "zhuiyi_wobert", "labse", "roberta_zh",
)  # fmt: skip


def entries(families: tuple[str, ...] = BERT_FAMILIES) -> list[dict]:
    """The recorded entries of TensorFlow checkpoints; none without the shared folder."""
    if not FACTS.exists():
        return []
    found = json.loads(FACTS.read_text())["checkpoints"]
    return [
        entry
        for entry in found
        if entry["family"] in families
        and entry["framework"] == "tensorflow1"
        and "nezha" not in entry["name"]  # relative positions: another family
    ]


def shrink(entry: dict) -> tuple[dict, dict[str, tf.Tensor]]:
    """The entry's configuration and tensors with every width made small."""
    config = dict(entry["config"])
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    sizes = {
        config["vocab_size"]: 41,
        hidden: heads * 4,
        config["intermediate_size"]: 23,
        config.get("embedding_size") or hidden: 7 if config.get("embedding_size") else heads * 4,
    }
    if config.get("attention_key_size"):
        sizes[heads * config["attention_key_size"]] = heads * 3
        config["attention_key_size"] = 3
    sizes[2 * hidden] = heads * 8  # RBT4's extra head
    for name in ("vocab_size", "hidden_size", "intermediate_size", "embedding_size"):
        if config.get(name):
            config[name] = sizes[config[name]]
    config["max_position_embeddings"] = 11
    rng = np.random.default_rng(0)
    tensors = {}
    for variable in entry["variables"]:
        shape = [sizes.get(size, size) for size in variable["shape"]]
        if variable["name"].endswith("position_embeddings"):
            shape[0] = 11
        value = rng.standard_normal(shape)
        tensors[variable["name"]] = tf.cast(value, variable["dtype"])
    return config, tensors


def load(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    config, tensors = shrink(entry)
    google.write(folder / "bert_model.ckpt", tensors)
    (folder / "bert_config.json").write_text(json.dumps(config))
    heads = {
        "with_pool": "bert/pooler/dense/kernel" in tensors,
        "with_nsp": "cls/seq_relationship/output_weights" in tensors,
        "with_mlm": "cls/predictions/output_bias" in tensors,
    }
    return build_transformer_model(folder, **{name: True for name, has in heads.items() if has})


def main() -> None:
    """Loads all entries and says how many did."""
    found = entries()
    for entry in found:
        with tempfile.TemporaryDirectory() as folder:
            load(entry, Path(folder))
        print(
            f"{entry['name']:<60} {entry['family']:<22} {len(entry['variables'])} variables: loaded"
        )
    print(f"{len(found)} of {len(found)} published checkpoints of the BERT family load strictly.")


if __name__ == "__main__":
    main()
