"""Writes ``module_bert.tar.xz`` and ``module_outputs.npz``: a module of TensorFlow 1's time.

Needs TensorFlow 1.15, tensorflow-hub 0.12 and ``bert-tensorflow`` 1.0.1, which is Google's own
code (Python 3.7):

    python tests/checkpoints/model_garden/generate_module.py FOLDER
"""

import importlib
import importlib.util
import sys
import tarfile
import tempfile
import types
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

# The package's own `__init__` imports what is not needed here.
package = types.ModuleType("bert")
package.__path__ = list(importlib.util.find_spec("bert").submodule_search_locations)
sys.modules["bert"] = package
modeling = importlib.import_module("bert.modeling")

CONFIG = modeling.BertConfig(
    vocab_size=24,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=12,
    max_position_embeddings=10,
    type_vocab_size=2,
)
RNG = np.random.RandomState(11)


def masked_words(model, positions):
    """Scores of the vocabulary, (batch times positions, vocab_size), as Google's pretraining."""
    hidden = model.get_sequence_output()
    batch, length, width = modeling.get_shape_list(hidden, 3)
    places = tf.reshape(positions + tf.reshape(tf.range(batch) * length, [-1, 1]), [-1])
    x = tf.gather(tf.reshape(hidden, [batch * length, width]), places)
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            x = tf.layers.dense(x, width, activation=modeling.gelu)
            x = modeling.layer_norm(x)
        bias = tf.get_variable("output_bias", [CONFIG.vocab_size])
        return tf.matmul(x, model.get_embedding_table(), transpose_b=True) + bias


def make_module_fn(vocabulary):
    """The function that a module is made of."""

    def module_fn(is_training):
        names = ("input_ids", "input_mask", "segment_ids")
        inputs = {name: tf.placeholder(tf.int32, [None, None], name) for name in names}
        positions = tf.placeholder(tf.int32, [None, None], "mlm_positions")
        model = modeling.BertModel(CONFIG, is_training, *inputs.values())
        outputs = {
            "sequence_output": model.get_sequence_output(),
            "pooled_output": model.get_pooled_output(),
        }
        logits = masked_words(model, positions)
        file = tf.constant(str(vocabulary), name="vocab_file")
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, file)
        hub.add_signature("tokens", inputs, outputs)
        hub.add_signature(
            "mlm", dict(inputs, mlm_positions=positions), dict(outputs, mlm_logits=logits)
        )
        info = {"vocab_file": file, "do_lower_case": tf.constant(True)}
        hub.add_signature("tokenization_info", {}, info)

    return module_fn


def main(target):
    """Writes the module and its outputs."""
    ids = RNG.randint(5, 24, (2, 7)).astype("int32")
    ids[1, -2:] = 0
    mask = (ids > 0).astype("int32")
    segments = (np.arange(7)[None] > 3).astype("int32") * mask
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocabulary = folder / "vocab.txt"
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(19)]
        vocabulary.write_text("\n".join(tokens) + "\n")
        tags = [(set(), {"is_training": False}), ({"train"}, {"is_training": True})]
        spec = hub.create_module_spec(make_module_fn(vocabulary), tags)
        with tf.Graph().as_default(), tf.Session() as session:
            module = hub.Module(spec, trainable=True, name="module")
            session.run(tf.global_variables_initializer())
            for variable in tf.global_variables():
                centre = 1 if "gamma" in variable.name else 0
                values = RNG.randn(*variable.shape.as_list()) * 0.5 + centre
                variable.load(values.astype("float32"), session)
            feeds = {"input_ids": ids, "input_mask": mask, "segment_ids": segments}
            feeds["mlm_positions"] = np.arange(7, dtype="int32")[None].repeat(2, 0)
            found = session.run(module(feeds, signature="mlm", as_dict=True))
            module.export(str(folder / "module"), session)
        np.savez_compressed(
            target / "module_outputs.npz",
            ids=ids,
            segments=segments,
            hidden=found["sequence_output"],
            pooled=found["pooled_output"],
            mlm=found["mlm_logits"].reshape(2, 7, -1),
        )
        with tarfile.open(str(target / "module_bert.tar.xz"), "w:xz", preset=9) as archive:
            for path in sorted((folder / "module").rglob("*")):
                if path.is_file():
                    archive.add(str(path), str(path.relative_to(folder / "module")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
