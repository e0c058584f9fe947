"""The checkpoint of the benchmarks in the file formats of other libraries, for ``load_formats``.

Written by what this package's environment has: NumPy, h5py and the writer of ``torch.save``'s
format that the tests use.
"""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import load_file

from tests.pickles import described, write_zip

# Hugging Face's names to those of their TensorFlow models, and of PaddleNLP.
_TENSORFLOW = (
    (r"\.layer\.(\d+)\.", r".layer_._\1."),
    (r"LayerNorm\.weight", "LayerNorm.gamma"),
    (r"LayerNorm\.bias", "LayerNorm.beta"),
    (r"(token_type|position)_embeddings\.weight", r"\1_embeddings.embeddings"),
    (r"(?<!word_embeddings)\.weight$", ".kernel"),
)
_PADDLE = (
    (r"encoder\.layer\.", "encoder.layers."),
    (r"attention\.self\.(query|key|value)", lambda m: f"self_attn.{m[1][0]}_proj"),
    (r"attention\.output\.dense", "self_attn.out_proj"),
    (r"attention\.output\.LayerNorm", "norm1"),
    (r"intermediate\.dense", "linear1"),
    (r"output\.dense", "linear2"),
    (r"output\.LayerNorm", "norm2"),
    (r"transform\.LayerNorm", "layer_norm"),
    (r"transform\.dense", "transform"),
    (r"predictions\.bias", "predictions.decoder_bias"),
    (r"LayerNorm", "layer_norm"),
)


def _renamed(name: str, rules) -> str:
    for pattern, to in rules:
        name = re.sub(pattern, to, name)
    return name


def _is_kernel(name: str) -> bool:
    return name.endswith(".weight") and "embeddings." not in name and "LayerNorm" not in name


def write_bin(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """``pytorch_model.bin``."""
    state, storages = described(tensors)
    write_zip(folder / "pytorch_model.bin", state, storages)


def write_tf_h5(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """``tf_model.h5``."""
    groups = {"bert": "bert", "predictions": "mlm___cls", "seq_relationship": "nsp___cls"}
    with h5py.File(folder / "tf_model.h5", "w") as file:
        for name, value in tensors.items():
            scope = name.split(".")[0 if name.startswith("bert.") else 1]
            path = _renamed(name, _TENSORFLOW).replace(".", "/").replace("_/_", "_._")
            path = f"{groups[scope]}/tf_bert_for_pre_training/{path}:0"
            file.create_dataset(path, data=value.T if _is_kernel(name) else value)


def write_pdparams(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """``model_state.pdparams``."""
    state = {
        _renamed(name, _PADDLE): np.ascontiguousarray(value.T if _is_kernel(name) else value)
        for name, value in tensors.items()
    }
    with (folder / "model_state.pdparams").open("wb") as file:
        pickle.dump(state, file, protocol=4)


WRITERS = {"bin": write_bin, "tf_h5": write_tf_h5, "pdparams": write_pdparams}


def folder_of(assets: Path, kind: str) -> Path:
    """The folder of the checkpoint in a format, which is written where it is not there yet.

    Args:
        assets: with ``huggingface/``.
        kind: one of ``WRITERS``, or "safetensors".
    """
    source = assets / "huggingface"
    if kind == "safetensors":
        return source
    folder = assets / kind
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for path in source.iterdir():
            if path.suffix in (".json", ".txt"):
                shutil.copy(path, unfinished)
        WRITERS[kind](unfinished, load_file(source / "model.safetensors"))
        unfinished.rename(folder)
    return folder
