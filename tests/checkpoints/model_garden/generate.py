"""Writes the cases of this folder with TensorFlow's Model Garden.

Needs ``tf-models-official`` 2.15 (and what its ``nlp.modeling`` imports: tensorflow-text,
tensorflow-hub, gin-config, sacrebleu, seqeval, sentencepiece) beside TensorFlow 2.15:

    python tests/checkpoints/model_garden/generate.py FOLDER

Each case is an archive as it would be published, made of random values; ``outputs.npz`` holds what
Model Garden computes from them. ``module_bert.tar.xz`` is written by ``generate_module.py``.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from official.legacy.bert import configs
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import layers, models, networks
from official.nlp.tools import export_tfhub_lib

GELU = tf_utils.get_activation("gelu")
SIZES = {
    "vocab_size": 24,
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "max_sequence_length": 10,
    "type_vocab_size": 2,
    "inner_dim": 12,
    "inner_activation": GELU,
}
RNG = np.random.default_rng(7)
OUTPUTS: dict[str, np.ndarray] = {}


def inputs() -> dict[str, np.ndarray]:
    """Two texts, the second of them padded."""
    ids = RNG.integers(5, SIZES["vocab_size"], (2, 7)).astype("int32")
    ids[1, -2:] = 0
    mask = (ids > 0).astype("int32")
    segments = (np.arange(7)[None] > 3).astype("int32") * mask
    return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": segments}


X = inputs()
POSITIONS = np.arange(7, dtype="int32")[None].repeat(2, 0)
WITH_POSITIONS = {**X, "masked_lm_positions": POSITIONS}


def fill(variables) -> None:
    """Random values, wide enough for the two forms of gelu to differ."""
    for variable in sorted(variables, key=lambda v: v.name):
        if variable.dtype == tf.float32:
            centre = 1 if "gamma" in variable.name else 0
            values = RNG.standard_normal(variable.shape) * 0.5 + centre
            variable.assign(values.astype("float32"))


def keep(case: str, **outputs) -> None:
    """Notes outputs of a case."""
    OUTPUTS.update({f"{case}/{name}": np.asarray(value) for name, value in outputs.items()})


def pack(folder: Path, source: Path, case: str) -> None:
    """An archive of a folder."""
    with tarfile.open(folder / f"{case}.tar.xz", "w:xz", preset=9) as archive:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                archive.add(path, str(path.relative_to(source)))


def encoder_v1(path: Path) -> None:
    """The functional encoder, saved as ``encoder``."""
    encoder = networks.BertEncoder(**SIZES, dict_outputs=True)
    fill(encoder.variables)
    found = encoder(X)
    keep("encoder", hidden=found["sequence_output"], pooled=found["pooled_output"])
    tf.train.Checkpoint(encoder=encoder).write(str(path / "bert_model.ckpt"))


def encoder_v2(path: Path) -> None:
    """The encoder as a layer, with embeddings of another width, saved as ``model``."""
    encoder = networks.BertEncoderV2(**SIZES, embedding_width=6)
    encoder(encoder.inputs)
    fill(encoder.variables)
    found = encoder(X)
    keep("encoder_v2", hidden=found["sequence_output"], pooled=found["pooled_output"])
    tf.train.Checkpoint(model=encoder).write(str(path / "bert_model.ckpt"))


def pretrainer(path: Path) -> None:
    """Encoder and both heads in training: its optimizer lies beside them."""
    encoder = networks.BertEncoder(**SIZES, dict_outputs=True)
    head = layers.ClassificationHead(SIZES["hidden_size"], 2, name="next_sentence")
    model = models.BertPretrainerV2(
        encoder_network=encoder, mlm_activation=GELU, classification_heads=[head]
    )
    model(WITH_POSITIONS)
    optimizer = tf.keras.optimizers.Adam(1e-3)
    with tf.GradientTape() as tape:
        found = model(WITH_POSITIONS)
        loss = tf.reduce_mean(found["mlm_logits"]) + tf.reduce_mean(found["next_sentence"])
    variables = model.trainable_variables
    pairs = [(g, v) for g, v in zip(tape.gradient(loss, variables), variables) if g is not None]
    optimizer.apply_gradients(pairs)
    fill(model.variables)
    found = model(WITH_POSITIONS)
    keep(
        "pretrainer",
        hidden=found["sequence_output"],
        mlm=found["mlm_logits"],
        nsp=found["next_sentence"],
        pooled=head.dense(found["sequence_output"][:, 0]),
    )
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, **model.checkpoint_items)
    checkpoint.save(str(path / "ckpt"))


def old_pretrainer(path: Path) -> None:
    """The first pretrainer, whose pooler is the encoder's own."""
    encoder = networks.BertEncoder(**SIZES)
    model = models.BertPretrainer(encoder, num_classes=2, num_token_predictions=7, activation=GELU)
    fill(model.variables)
    found = model([*X.values(), POSITIONS])
    keep("old_pretrainer", mlm=found["masked_lm"], nsp=found["classification"])
    tf.train.Checkpoint(model=model).write(str(path / "ckpt"))


def classifier(path: Path) -> None:
    """A fine-tuned model."""
    encoder = networks.BertEncoder(**SIZES)
    model = models.BertClassifier(encoder, num_classes=3)
    fill(model.variables)
    keep("classifier", hidden=encoder(list(X.values()))[0])
    tf.train.Checkpoint(model=model).write(str(path / "ckpt"))


def electra(path: Path) -> None:
    """Generator and discriminator over one token table."""
    table = layers.OnDeviceEmbedding(
        SIZES["vocab_size"], 6, initializer="zeros", name="word_embeddings"
    )
    common = {"embedding_layer": table, "embedding_width": 6, "dict_outputs": True}
    generator = networks.BertEncoder(**{**SIZES, "hidden_size": 4}, **common)
    discriminator = networks.BertEncoder(**SIZES, **common)
    model = models.ElectraPretrainer(
        generator,
        discriminator,
        vocab_size=SIZES["vocab_size"],
        num_classes=2,
        num_token_predictions=3,
        mlm_activation=GELU,
    )
    masked = {"masked_lm_positions": POSITIONS[:, :3], "masked_lm_ids": X["input_word_ids"][:, :3]}
    model({**X, **masked})
    fill(model.variables)
    hidden = discriminator(X)["sequence_output"]
    scores = model.discriminator_head(model.discriminator_projection(hidden))
    keep("electra", hidden=hidden, replaced=scores)
    checkpoint = tf.train.Checkpoint(model=model, **model.checkpoint_items)
    checkpoint.write(str(path / "ckpt"))


def albert(path: Path) -> None:
    """An ALBERT's encoder; the tensors do not say how many layers it has."""
    sizes = {key: value for key, value in SIZES.items() if not key.startswith("inner")}
    encoder = networks.AlbertEncoder(
        **{**sizes, "num_layers": 3},
        embedding_width=6,
        intermediate_size=SIZES["inner_dim"],
        activation=GELU,
        dict_outputs=True,
    )
    fill(encoder.variables)
    found = encoder(X)
    keep("albert", hidden=found["sequence_output"], pooled=found["pooled_output"])
    tf.train.Checkpoint(encoder=encoder).write(str(path / "bert_model.ckpt"))


def hub_bert(path: Path) -> None:
    """A SavedModel as TensorFlow Hub has it, with the head of masked words."""
    config = configs.BertConfig(
        vocab_size=SIZES["vocab_size"],
        hidden_size=SIZES["hidden_size"],
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=SIZES["inner_dim"],
        max_position_embeddings=10,
        type_vocab_size=2,
        hidden_dropout_prob=0.2,
    )
    encoder = export_tfhub_lib.get_bert_encoder(config)
    model = models.BertPretrainerV2(encoder_network=encoder, mlm_activation=GELU)
    model(WITH_POSITIONS)
    fill(model.variables)
    found = model(WITH_POSITIONS)
    keep(
        "hub_bert",
        hidden=found["sequence_output"],
        pooled=found["pooled_output"],
        mlm=found["mlm_logits"],
    )
    _export(path, tf.train.Checkpoint(**model.checkpoint_items), bert_config=config, with_mlm=True,
            vocab_file="vocab.txt", do_lower_case=False)  # fmt: skip


def hub_albert(path: Path) -> None:
    """A SavedModel as TensorFlow Hub has it."""
    settings = encoders.AlbertEncoderConfig(
        vocab_size=SIZES["vocab_size"],
        embedding_width=6,
        hidden_size=SIZES["hidden_size"],
        num_layers=2,
        num_attention_heads=2,
        intermediate_size=SIZES["inner_dim"],
        max_position_embeddings=10,
    )
    config = encoders.EncoderConfig(type="albert", albert=settings)
    encoder = encoders.build_encoder(config)
    fill(encoder.variables)
    found = encoder(X)
    keep("hub_albert", hidden=found["sequence_output"], pooled=found["pooled_output"])
    _export(path, tf.train.Checkpoint(encoder=encoder), encoder_config=config, with_mlm=False,
            sp_model_file="vocab.txt")  # fmt: skip


def _export(path: Path, checkpoint, **settings) -> None:
    name = next(key for key in settings if key.endswith("_file"))
    with tempfile.TemporaryDirectory() as folder:
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokens += [f"w{i}" for i in range(SIZES["vocab_size"] - len(tokens))]
        vocabulary = Path(folder, settings[name])
        vocabulary.write_text("\n".join(tokens) + "\n")
        prefix = checkpoint.save(f"{folder}/ckpt")
        export_tfhub_lib.export_model(
            str(path), model_checkpoint_path=prefix, **{**settings, name: str(vocabulary)}
        )


CASES = (encoder_v1, encoder_v2, pretrainer, old_pretrainer, classifier, electra, albert, hub_bert,
         hub_albert)  # fmt: skip
NAMES = {"encoder_v1": "encoder"}


def main(target: Path) -> None:
    """Writes all cases."""
    keep("inputs", ids=X["input_word_ids"], segments=X["input_type_ids"])
    for case in CASES:
        tf.keras.backend.clear_session()
        with tempfile.TemporaryDirectory() as folder:
            case(Path(folder))
            pack(target, Path(folder), NAMES.get(case.__name__, case.__name__))
    np.savez_compressed(target / "outputs.npz", **OUTPUTS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
