"""What the heads of the Transformers library compute, recorded on tiny models.

``python tests/head_cases.py`` records it anew, where torch and transformers are installed. Weights
are not recorded: they are numbers that follow from the tensors' names and shapes.
"""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path

import numpy as np

RECORD = Path(__file__).parent / "golden" / "huggingface_heads.npz"

SIZES = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
FAMILIES = {
    "bert": ("Bert", {}),
    "albert": ("Albert", {"embedding_size": 4}),
    "electra": ("Electra", {"embedding_size": 4}),
    "ernie": ("Ernie", {"hidden_act": "relu"}),
    "rembert": ("RemBert", {"input_embedding_size": 4, "output_embedding_size": 6}),
    "roberta": ("Roberta", {"pad_token_id": 1, "type_vocab_size": 1}),
    "xlm-roberta-xl": ("XLMRobertaXL", {"pad_token_id": 1, "type_vocab_size": 1}),
    "roformer": ("RoFormer", {"embedding_size": 8, "hidden_act": "relu"}),
    "xlnet": ("XLNet", {}),
}
_XLNET = {"vocab_size": 20, "d_model": 8, "n_layer": 1, "n_head": 2, "d_inner": 12,
          "pad_token_id": 5}  # fmt: skip
# Further forms of a head: of which family and class, and the settings.
FURTHER = {
    "xlnet first": ("xlnet", "ForSequenceClassification", {"summary_type": "first"}),
    "xlnet plain": ("xlnet", "ForSequenceClassification", {"summary_use_proj": False}),
    "electra last": ("electra", "ForMultipleChoice", {"summary_type": "last"}),
    "electra tanh": ("electra", "ForMultipleChoice", {"summary_activation": "tanh"}),
    "bert one": ("bert", "ForSequenceClassification", {"num_labels": 1}),
}


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor's values, float32."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    norm = name.lower().endswith(("norm.weight", "layernorm.weight"))
    return (0.5 * rng.standard_normal(shape) + norm).astype("float32")


def names() -> list[str]:
    """The recorded cases: a family and the end of a class's name, or a form of a head."""
    return sorted({key.split("/")[0] for key in np.load(RECORD).files})


@functools.cache
def _case(name: str) -> dict[str, np.ndarray]:
    stored = np.load(RECORD)
    return {k.split("/")[1]: stored[k] for k in stored.files if k.startswith(f"{name}/")}


def config_of(name: str) -> dict:
    """A case's ``config.json``."""
    return json.loads(str(_case(name)["config"]))


def tensors_of(name: str) -> dict[str, np.ndarray]:
    """A case's weights."""
    shapes = json.loads(str(_case(name)["tensors"]))
    return {tensor: values(tensor, tuple(shape)) for tensor, shape in shapes.items()}


def arrays_of(name: str, direction: str) -> dict[str, np.ndarray]:
    """A case's inputs ("in") or outputs ("out") by name."""
    return {k[len(direction) + 1 :]: v for k, v in _case(name).items()
            if k.startswith(f"{direction}.")}  # fmt: skip


def inputs(pad: int, left: bool) -> dict[str, np.ndarray]:
    """Ids, segments and mask of two texts, of which the second is padded."""
    rng = np.random.default_rng(0)
    ids = rng.integers(6, 20, (2, 2, 7))
    mask = np.ones_like(ids)
    ids[1, ..., slice(0, 2) if left else slice(5, 7)] = pad
    mask[ids == pad] = 0
    segments = np.broadcast_to(np.arange(7) > 3, ids.shape).astype("int64") * mask
    return {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}


def record(family: str, suffix: str, further: dict) -> dict[str, np.ndarray]:
    """One case's arrays."""
    import torch
    import transformers

    stem, own = FAMILIES[family]
    config_class = getattr(transformers, f"{stem}Config")
    settings = {**_XLNET} if family == "xlnet" else {**SIZES, **own}
    config = config_class(**settings, **{"num_labels": 3, **further})
    config._attn_implementation = "eager"
    model = getattr(transformers, stem + suffix)(config).eval()
    tensors = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" in name:  # sines and cosines
                continue
            tensors[name] = list(parameter.shape)
            parameter.copy_(torch.from_numpy(values(name, tuple(parameter.shape))))
    given = inputs(config.pad_token_id, family == "xlnet")
    if "MultipleChoice" not in suffix:
        given = {name: value[:, 0] for name, value in given.items()}
    if getattr(config, "type_vocab_size", 2) == 1:
        del given["token_type_ids"]
    with torch.no_grad():
        found = model(**{name: torch.from_numpy(value.copy()) for name, value in given.items()})
    kept = {key: value for key, value in config.to_dict().items() if value is not None}
    kept.update(model_type=config.model_type, architectures=[stem + suffix])
    if "id2label" not in kept and "Classification" in suffix:
        kept["id2label"] = {str(i): f"LABEL_{i}" for i in range(config.num_labels)}
    outputs = [name for name in ("logits", "start_logits", "end_logits") if name in found]
    return {
        "config": np.array(json.dumps(kept)),
        "tensors": np.array(json.dumps(tensors)),
        **{f"in.{name}": value.astype("int8") for name, value in given.items()},
        **{f"out.{name}": found[name].numpy() for name in outputs},
    }


def main() -> None:
    suffixes = ("SequenceClassification", "TokenClassification", "MultipleChoice",
                "QuestionAnswering")  # fmt: skip
    cases = {
        f"{family} {suffix}": (family, f"For{suffix}", {})
        for family in FAMILIES
        for suffix in suffixes
    }
    cases["xlnet QuestionAnswering"] = ("xlnet", "ForQuestionAnsweringSimple", {"num_labels": 2})
    arrays = {}
    for name, (family, suffix, further) in {**cases, **FURTHER}.items():
        if suffix == "ForQuestionAnswering":
            further = {"num_labels": 2}
        for key, value in record(family, suffix, further).items():
            arrays[f"{name}/{key}"] = value
    np.savez_compressed(RECORD, **arrays)
    print(f"{len({key.split('/')[0] for key in arrays})} cases, {RECORD.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
