"""Checkpoints under names of other programs: tiny models to name anew, recorded ones to compare."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import load_file

from kerasbert import build_transformer_model
from kerasbert.backend import tf
from kerasbert.checkpoints.loading import TensorSource
from kerasbert.checkpoints.mapping import on_save
from kerasbert.models.weights import variables_by_path
from tests.golden_cases import SHARED, distance
from tests.huggingface_cases import ATOL, INPUTS, recorded_sets

RECORDED = SHARED / "huggingface"
SIZES = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 17,
    "type_vocab_size": 2,
    "initializer_range": 0.5,
}
# What a family has beside its body, and the sizes that are its own.
FAMILIES = {
    "bert": {"with_mlm": True, "with_nsp": True},
    "ernie": {"with_mlm": True, "with_nsp": True, "use_task_id": True},
    "albert": {"with_mlm": True, "with_sop": True, "embedding_size": 8},
    "roberta": {"with_mlm": True, "type_vocab_size": 1},
    "xlm_roberta_xl": {"with_mlm": True, "type_vocab_size": 1},
    "electra": {"with_discriminator": True, "embedding_size": 8},
}
_LOGITS_ATOL = 1e-4  # golden data: of logits
_HEADS = {"pooler_output": "with_pool", "nsp_logits": "with_nsp", "sop_logits": "with_sop",
          "mlm_logits": "with_mlm"}  # fmt: skip


@functools.cache
def tiny_model(family: str):
    """A built transformer with all heads, whose variables are all of them random."""
    built = build_transformer_model(
        model=family, return_keras_model=False, **{**SIZES, **FAMILIES[family]}
    )
    rng = np.random.default_rng(0)
    for variable in variables_by_path(built.layers).values():
        variable.assign(rng.standard_normal(variable.shape).astype("float32"))
    return built


def tensors_of(family: str) -> dict[str, np.ndarray]:
    """The values of a tiny model under the names of Hugging Face, which may be changed."""
    return {name: value.copy() for name, value in _tensors_of(family).items()}


@functools.cache
def _tensors_of(family: str) -> dict[str, np.ndarray]:
    built = tiny_model(family)
    table = next(table for table in built.tables if table.name == "huggingface")
    variables = variables_by_path(built.layers)
    return {
        row.tensor: np.asarray(on_save(row.op, tf.convert_to_tensor(variables[row.variable])))
        for row in built.rows(table, built.config, built.layers)
        if row.variable in variables
    }


def renamed(tensors: Mapping[str, np.ndarray], *replacements: tuple[str, str]) -> dict:
    """The tensors with parts of their names replaced, one replacement after the other."""
    found = {}
    for name, value in tensors.items():
        for ours, theirs in replacements:
            name = name.replace(ours, theirs)
        found[name] = value
    assert len(found) == len(tensors)
    return found


def read_all(source: TensorSource) -> dict[str, np.ndarray]:
    """Every tensor of a source, as it says its shape."""
    found = {name: np.array(value) for name, value in source.read(list(source.shapes)).items()}
    assert {name: value.shape for name, value in found.items()} == dict(source.shapes)
    return found


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """The same names, and the same values bit for bit."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


def assert_loads(family: str, config: Mapping, tensors: Mapping[str, np.ndarray]) -> None:
    """Adapted tensors load strictly into a model of their own, which is then the tiny one."""
    heads = {key: value for key, value in FAMILIES[family].items() if key.startswith("with_")}
    settings = {key: value for key, value in SIZES.items() if key == "num_attention_heads"}
    found = build_transformer_model(
        {**settings, **config}, dict(tensors), return_keras_model=False, **heads
    )
    assert found.family == family
    expected = variables_by_path(tiny_model(family).layers)
    for path, variable in variables_by_path(found.layers).items():
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(expected[path]), path)


class Shapes:
    """A source of tensors that are not there."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]):
        self.shapes = dict(shapes)

    def read(self, names):
        raise AssertionError(f"{list(names)} are not to be read")


# ------------------------------------------------------------------------------ recorded models


def recorded(program: str) -> list[str]:
    """The names of a program's recorded models; none without the shared data."""
    return sorted(path.name for path in (RECORDED / program).glob("*"))


def huggingface_weights(folder: Path) -> dict[str, np.ndarray]:
    """The weights that a recorded model shares with one of Hugging Face's."""
    same = json.loads((folder / "meta.json").read_text())["same_weights_as"].split()[0]
    return load_file(RECORDED / same.partition("/")[2] / "model.safetensors")


def assert_outputs(
    folder: Path, config: Mapping, tensors: Mapping[str, np.ndarray], padded: bool = True
) -> None:
    """Hidden states and heads of a recorded model, over all sets.

    Args:
        folder: of the recorded model.
        config: settings as Hugging Face's.
        tensors: by Hugging Face's names.
        padded: whether positions of padding are compared too.
    """
    sets = recorded_sets(_Arrays(folder / "golden.npz"))
    for inputs, outputs in sets.values():
        if not inputs or "input_ids" not in inputs:
            continue  # what the program itself computes
        wanted = {name: outputs[name] for name in _HEADS if name in outputs}
        if "nsp_logits" in wanted:  # which come from the pooler, and then it is no output
            wanted.pop("pooler_output", None)
        heads = {_HEADS[name]: True if name == "pooler_output" else "linear" for name in wanted}
        states = outputs.get("hidden_states", [outputs.get("last_hidden_state")])
        read = np.ones_like(inputs["input_ids"]) if padded else inputs["attention_mask"]
        (hidden,) = _run(inputs, config, tensors, {})
        assert distance(np.asarray(hidden)[read == 1], states[-1][read == 1]) <= ATOL
        values = _run(inputs, config, tensors, heads)
        assert len(values) == len(wanted)
        for name, value in zip(wanted, map(np.asarray, values)):
            at = read == 1 if value.shape[:2] == read.shape else slice(None)
            assert distance(value[at], wanted[name][at]) <= _LOGITS_ATOL, name


class _Arrays:
    """What :func:`recorded_sets` asks of a case."""

    def __init__(self, path: Path):
        self.arrays = path


def _run(inputs: Mapping, config: Mapping, tensors: Mapping, heads: Mapping) -> list:
    tasks = {"custom_task_ids": True} if "task_type_ids" in inputs else {}
    model = build_transformer_model(
        dict(config), dict(tensors), with_attention_mask="attention_mask" in inputs, **tasks,
        **heads,
    )  # fmt: skip
    ids = inputs["input_ids"]
    given = [inputs.get(INPUTS[x.name.split(":")[0]], np.zeros_like(ids)) for x in model.inputs]
    outputs = model(given if len(given) > 1 else given[0])
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def unknown_tensors(*likely: str):
    """Names that a naming does not know, or that collide with what it makes; a number for each."""
    return st.dictionaries(
        st.one_of(st.text(max_size=30), st.sampled_from(likely)), st.integers(0, 9), max_size=5
    )


def assert_no_tensor_is_lost(
    adapted: Callable[[dict], dict], stored: dict, unknown: Mapping[str, int], made: str = ""
) -> None:
    """Whatever lies beside a model's tensors is there afterwards, under any name.

    Args:
        adapted: from stored tensors to adapted ones.
        stored: a model's.
        unknown: of :func:`unknown_tensors`.
        made: a tensor that the naming makes where none is stored.
    """
    values = {name: np.full((3, 1), at, "f") for name, at in unknown.items() if name not in stored}
    everything = {**values, **stored}
    found = adapted(everything)
    assert len(found) == len(everything) + bool(made and made not in values)
    left = [value for value in found.values() if value.shape == (3, 1)]
    assert sorted(v[0, 0] for v in left) == sorted(v[0, 0] for v in values.values())
