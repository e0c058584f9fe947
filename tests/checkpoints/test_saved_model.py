"""SavedModels and modules of TensorFlow Hub: what they say of a model, and that nothing is run."""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from kerasbert import Tokenizer, build_transformer_model
from kerasbert.backend import tf
from kerasbert.checkpoints import google, saved_model, saved_model_layers
from kerasbert.checkpoints.errors import CheckpointFormatError
from tests import tiny
from tests.checkpoints.garden_cases import CONFIG, FOLDER, garden_tensors, write_objects


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The folders of the recorded cases, unpacked once; they are not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    for case in ("hub_bert", "hub_albert", "module_bert"):
        with tarfile.open(FOLDER / f"{case}.tar.xz") as archive:
            archive.extractall(folder / case)
    return folder


def operation(name, kind, value=None):
    """A node of a graph."""
    node = saved_model_pb2.SavedModel().meta_graphs.add().graph_def.node.add()
    node.name, node.op = name, kind
    if value is not None:
        node.attr["value"].tensor.int_val.append(value)
    return node


def write(folder, *nodes, metadata=None, library=(), tensors=None):
    """A SavedModel of nodes of a graph and of a function, and of Keras' texts."""
    message = saved_model_pb2.SavedModel()
    graph = message.meta_graphs.add().graph_def
    graph.node.extend(nodes)
    graph.library.function.add().node_def.extend(library)
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    if metadata is not None:
        (folder / "keras_metadata.pb").write_bytes(keras_texts(*metadata))
    google.write(folder / "variables" / "variables", tensors or {"x": np.zeros(1)})
    return folder


def keras_texts(*texts):
    """The bytes of a ``keras_metadata.pb``."""

    def field(number, content):
        size, head = len(content), bytearray([number << 3 | 2])
        while size > 127:
            head.append(size & 127 | 128)
            size >>= 7
        return bytes([*head, size]) + content

    # The number and the path of a node are before its text; a field of eight bytes is skipped.
    others = b"\x10\x07" + field(3, b"root.layer") + b"\x31" + bytes(8)
    return b"".join(field(1, others + field(5, text.encode())) for text in texts)


def described(**settings):
    """Keras' text of a model with an encoder in it."""
    settings = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 2, "num_layers": 3,
                **settings}  # fmt: skip
    encoder = {"class_name": "Text>BertEncoder", "config": settings}
    return json.dumps({"class_name": "Functional", "config": {"layers": [{"a": 1}, encoder]}})


# ---- where a SavedModel is -----------------------------------------------------------------------


def test_which_folders_are_saved_models(release, tmp_path):
    folder = release / "hub_bert"
    assert saved_model.is_saved_model(folder)
    assert not saved_model.is_saved_model(folder / "variables")
    assert not saved_model.is_saved_model(tmp_path)
    assert saved_model.folder_of(folder / "variables" / "variables") == folder
    assert saved_model.folder_of(str(folder / "variables" / "variables")) == folder
    assert saved_model.folder_of(folder / "variables" / "other") is None
    assert saved_model.folder_of(tmp_path / "variables" / "variables") is None
    assert saved_model.folder_of("") is None


# ---- recorded cases ------------------------------------------------------------------------------


def test_a_bert_of_the_hub(release):
    facts = saved_model.describe(release / "hub_bert")
    assert facts.config == {
        "vocab_size": 24,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "max_position_embeddings": 10,
        "type_vocab_size": 2,
        "hidden_dropout_prob": 0.2,
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu_tanh",
    }
    assert facts.class_name == "Text>BertEncoder"
    assert facts.do_lower_case is False
    assert facts.pre_norm is False
    assert facts.vocab_path == release / "hub_bert" / "assets" / "vocab.txt"


def test_an_albert_of_the_hub(release):
    facts = saved_model.describe(release / "hub_albert")
    assert facts.class_name == "Text>AlbertEncoder"
    assert facts.config["num_hidden_layers"] == 2
    assert facts.config["embedding_size"] == 6
    assert facts.config["hidden_dropout_prob"] == 0
    assert facts.do_lower_case is None


def test_an_albert_without_keras_description(release, tmp_path):
    """Its layers are counted in what it hands out, and the graph says which gelu it is."""
    folder = tmp_path / "copy"
    shutil.copytree(release / "hub_albert", folder)
    (folder / "keras_metadata.pb").unlink()
    assert saved_model.describe(folder, hidden_size=8).config == {
        "num_hidden_layers": 2,
        "hidden_act": "gelu_tanh",
    }
    built = build_transformer_model(checkpoint=folder, return_keras_model=False)
    assert built.config.num_hidden_layers == 2


def test_a_module_of_tensorflow_1(release):
    facts = saved_model.describe(release / "module_bert", hidden_size=8)
    assert facts.config == {"num_attention_heads": 4, "hidden_act": "gelu_tanh"}
    assert facts.do_lower_case is True
    assert facts.vocab_path.name == "vocab.txt"
    assert "num_attention_heads" not in saved_model.describe(release / "module_bert").config


@pytest.mark.parametrize("case", ["hub_bert", "module_bert"])
def test_nothing_is_run(release, monkeypatch, case):
    def refuse(*args, **kwargs):
        raise AssertionError("a graph is loaded")

    for module in (tf.saved_model, tf.compat.v1.saved_model):
        monkeypatch.setattr(module, "load", refuse)
    monkeypatch.setattr(tf.compat.v1, "import_graph_def", refuse)
    monkeypatch.setattr(tf, "import_graph_def", refuse)
    built = build_transformer_model(checkpoint=release / case, return_keras_model=False)
    assert built.files.vocab_path.name == "vocab.txt"
    assert built.activation == "gelu_tanh"


@pytest.mark.parametrize("given_as", ["saved_model.pb", "variables/variables.index"])
def test_any_of_its_files_may_be_given(release, given_as):
    path = release / "hub_bert" / given_as
    built = build_transformer_model(checkpoint=path, return_keras_model=False)
    assert built.config.hidden_dropout_prob == 0.2
    assert built.files.vocab_path.name == "vocab.txt"


@pytest.mark.parametrize(("case", "expected"), [("hub_bert", "[UNK]"), ("module_bert", "w3")])
def test_the_tokenizer_of_a_module(release, case, expected):
    """The vocabularies are the same: only the modules say whether texts are put in lower case."""
    tokenizer = Tokenizer.from_pretrained(release / case)
    assert tokenizer.tokenize("W3") == ["[CLS]", expected, "[SEP]"]


# ---- graphs and descriptions, one by one ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("bert/encoder/layer_0/intermediate/dense/Erf", "Erf", "gelu_erf"),
        ("transformer/layer_0/activation/Gelu/Erfc", "Erfc", "gelu_erf"),
        ("transformer/layer_0/activation/Gelu/Tanh", "Tanh", "gelu_tanh"),
        ("bert/encoder/layer_0/intermediate/dense/Tanh", "Tanh", "gelu_tanh"),
        ("bert/encoder/layer_0/intermediate/dense/Relu", "Relu", "relu"),
        ("bert/pooler/dense/Tanh", "Tanh", None),
        ("bert/encoder/layer_0/intermediate/dense/Erf", "NoOp", None),
    ],
)
@pytest.mark.parametrize("in_function", [False, True])
def test_the_activation_of_a_graph(tmp_path, name, kind, expected, in_function):
    node = operation(name, kind)
    folder = write(tmp_path / "m", *([] if in_function else [node]),
                   library=[node] if in_function else [])  # fmt: skip
    assert saved_model.describe(folder).config.get("hidden_act") == expected


def test_an_exact_gelu_counts_whatever_else_is_there(tmp_path):
    nodes = [operation("intermediate/Tanh", "Tanh"), operation("intermediate/Erf", "Erf")]
    folder = write(tmp_path / "m", *nodes, metadata=[described(activation="gelu")])
    assert saved_model.describe(folder).config["hidden_act"] == "gelu_erf"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [({"2": 4, "3": 3}, 4), ({"2": 4, "3": 4}, None), ({"2": 4}, None), ({}, None)],
)
def test_heads_of_a_graph(tmp_path, sizes, expected):
    name = "bert/encoder/layer_0/attention/self/Reshape_1/shape/"
    nodes = [operation(name + axis, "Const", size) for axis, size in sizes.items()]
    config = saved_model.describe(write(tmp_path / "m", *nodes), hidden_size=12).config
    assert config.get("num_attention_heads") == expected


def test_the_layers_of_an_albert_of_tensorflow_1(tmp_path):
    scope = "bert/encoder/transformer/group_0"
    names = [f"{scope}/layer_0/x", f"{scope}_11/layer_11/y", f"{scope}_9/layer_9/z", "layer_40/x"]
    folder = write(tmp_path / "m", *[operation(name, "NoOp") for name in names])
    assert saved_model.describe(folder).config == {"num_hidden_layers": 12}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"inner_activation": "Text>gelu"}, {"hidden_act": "gelu_tanh"}),
        ({"hidden_activation": "relu"}, {"hidden_act": "relu"}),
        ({"activation": {"class_name": "Lambda"}}, {}),
        ({"inner_dim": 12}, {"intermediate_size": 12}),
        ({"intermediate_size": "12"}, {}),
        ({"embedding_width": 4}, {"embedding_size": 4}),
        ({"embedding_width": 8}, {}),
        ({"embedding_width": None}, {}),
        ({"dropout_rate": 0, "attention_dropout_rate": 0.25},
         {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0.25}),
        ({"max_sequence_length": True}, {}),
    ],
)  # fmt: skip
def test_settings_of_an_encoder(tmp_path, written, expected):
    folder = write(tmp_path / "m", metadata=["no json", "[1]", described(**written)])
    always = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3}
    assert saved_model.describe(folder).config == {**always, **expected}


def test_the_description_among_the_objects(tmp_path):
    """Where Keras left it until TensorFlow 2.4."""
    folder = write(tmp_path / "m")
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((folder / "saved_model.pb").read_bytes())
    objects = message.meta_graphs[0].object_graph_def
    objects.nodes.add().variable.name = "x"
    objects.nodes.add().user_object.metadata = described(dropout_rate=0.5)
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    assert saved_model.describe(folder).config["hidden_dropout_prob"] == 0.5


def test_pre_norm_is_refused(tmp_path):
    folder = write(tmp_path / "m", metadata=[described(norm_first=True)])
    _, garden = garden_tensors(CONFIG, heads=False)
    write_objects(folder / "variables" / "variables", garden)
    assert saved_model.describe(folder).pre_norm
    with pytest.raises(CheckpointFormatError, match="norm_first"):
        build_transformer_model(checkpoint=folder)


def test_googles_names_in_a_folder(tmp_path):
    """A plain checkpoint in a SavedModel that says little: what is given counts."""
    folder = write(tmp_path / "m", tensors=tiny.bert_tensors())
    built = build_transformer_model(
        checkpoint=folder, num_attention_heads=4, return_keras_model=False
    )
    assert built.activation == "gelu_erf"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["vocab.txt"], "vocab.txt"),
        (["30k-clean.model", "30k-clean.vocab", "albert_config.json"], "30k-clean.model"),
        (["cased_vocab.txt", "notes.txt"], "cased_vocab.txt"),
        (["tokens.txt"], "tokens.txt"),
        (["a.txt", "b.txt"], None),
        ([], None),
    ],
)
def test_the_vocabulary_among_the_assets(tmp_path, names, expected):
    folder = write(tmp_path / "m")
    for name in names:
        (folder / "assets").mkdir(exist_ok=True)
        (folder / "assets" / name).write_text("x")
    found = saved_model.describe(folder).vocab_path
    assert (found and found.name) == expected


# ---- damage --------------------------------------------------------------------------------------


def test_a_damaged_graph(tmp_path):
    folder = write(tmp_path / "m")
    for content in (b"", b"\xff" * 40, b"no graph"):
        (folder / "saved_model.pb").write_bytes(content)
        with pytest.raises(CheckpointFormatError, match=r"saved_model\.pb"):
            saved_model.describe(folder)
    (folder / "saved_model.pb").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointFormatError, match="git lfs pull"):
        saved_model.describe(folder)


def test_a_graph_with_weights_in_it_is_not_read(tmp_path, monkeypatch):
    folder = write(tmp_path / "m", operation("intermediate/Erf", "Erf"))
    monkeypatch.setattr(saved_model, "_MAX_BYTES", 3)
    assert saved_model.describe(folder) == saved_model.SavedModelFacts()


@pytest.mark.parametrize(
    "content", [b"\x0a", b"\x0a\xff", b"\x0a\x05abc", b"\x0b", b"\xff" * 12, b"\x0a\x02\x2a\x09"]
)
def test_a_damaged_description_is_left_out(tmp_path, content):
    folder = write(tmp_path / "m", operation("intermediate/Erf", "Erf"))
    (folder / "keras_metadata.pb").write_bytes(content)
    assert saved_model.describe(folder).config == {"hidden_act": "gelu_erf"}


def test_deep_json_is_left_out(tmp_path):
    deep = '{"config":' * 100_000 + '"num_attention_heads"' + "}" * 100_000
    folder = write(tmp_path / "m", metadata=[deep, described()])
    assert saved_model.describe(folder).config["num_hidden_layers"] == 3


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes(tmp_path, data):
    folder = tmp_path / "m"
    if not folder.is_dir():
        write(folder, operation("intermediate/Erf", "Erf"), metadata=[described(), described()])
        (tmp_path / "good").mkdir()
        for name in ("saved_model.pb", "keras_metadata.pb"):
            shutil.copy(folder / name, tmp_path / "good" / name)
    for name in ("saved_model.pb", "keras_metadata.pb"):
        content = bytearray((tmp_path / "good" / name).read_bytes())
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] = data.draw(st.integers(0, 255))
        (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        facts = saved_model.describe(folder)
    except CheckpointFormatError:
        return
    assert isinstance(facts.config, dict)


@given(st.binary(max_size=40))
def test_any_message(data):
    with contextlib.suppress(ValueError, IndexError):
        assert all(isinstance(value, bytes) for value in saved_model_layers._messages(data, 1))
