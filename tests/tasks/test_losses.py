"""Losses: against plain numpy, in training, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import Tokenizer, build_transformer_model, data
from kerasbert.backend import keras, serializable, tf
from kerasbert.optimizers import AdamW
from kerasbert.tasks import InBatchSimilarityLoss, Loss, NextTokenLoss
from tests.tiny import CONFIG, bert_tensors

TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrst"])
TINY = {**CONFIG, "vocab_size": TOKENIZER.vocab_size, "initializer_range": 0.1}
TINY.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
GROUPS = [[letter, f"{letter} {letter}"] for letter in "abcdefgh"]


def softmax(x):
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def random_scores(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array([[-1, 2, 0, -1], [-1, -1, 3, -1]])
    return labels, rng.standard_normal((2, 4, 5)).astype("f")


# The next token


def test_next_token_loss_is_the_mean_over_labelled_tokens():
    labels, logits = random_scores()
    places = [(0, 1), (0, 2), (1, 2)]
    losses = [-np.log(softmax(logits[at])[labels[at]]) for at in places]
    assert float(NextTokenLoss()(labels, logits)) == pytest.approx(np.mean(losses), rel=1e-6)
    probabilities = NextTokenLoss(from_logits=False)(labels, softmax(logits))
    assert float(probabilities) == pytest.approx(np.mean(losses), rel=1e-5)
    weighted = NextTokenLoss()(labels, logits, sample_weight=np.array([1.0, 3.0]))
    assert float(weighted) == pytest.approx(np.average(losses, weights=[1, 1, 3]), rel=1e-6)
    mask = np.array([[1.0, 1, 0, 1], [1, 1, 1, 1]])
    assert float(NextTokenLoss()(labels, logits, mask)) == pytest.approx(
        np.average(losses, weights=[1, 0, 1]), rel=1e-6
    )


def test_next_token_loss_of_nothing_is_zero():
    labels, logits = random_scores()
    assert float(NextTokenLoss()(np.full_like(labels, -1), logits)) == 0
    assert float(NextTokenLoss(ignore_id=7)(np.full_like(labels, 7), logits)) == 0


def test_half_precision_is_computed_in_float32():
    labels, logits = random_scores()
    loss = NextTokenLoss()(labels, tf.cast(logits, tf.bfloat16))
    assert loss.dtype == tf.float32
    rounded = tf.cast(tf.cast(logits, tf.bfloat16), tf.float32)
    assert float(loss) == pytest.approx(float(NextTokenLoss()(labels, rounded)), rel=1e-6)


# Partners in the batch


def reference_similarity_loss(groups, vectors, scale=30):
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = []
    for i, row in enumerate(scale * vectors @ vectors.T):
        others = [j for j in range(len(groups)) if j != i]
        partners = [j for j in others if groups[j] == groups[i]]
        if partners:
            total = np.log(np.exp(row[others]).sum())
            losses.append(np.mean([total - row[j] for j in partners]))
    return np.mean(losses)


@pytest.mark.parametrize(
    "groups", [[0, 0, 1, 1, 2, 2], [4, 4, 4, 4, 9, 9], [0, 0, 1, 1, 5, 6]], ids=str
)
@pytest.mark.parametrize("scale", [30.0, 5.0])
def test_similarity_loss(groups, scale):
    vectors = np.random.default_rng(1).standard_normal((6, 8))
    loss = InBatchSimilarityLoss(scale)(np.array(groups), vectors.astype("f"))
    expected = reference_similarity_loss(groups, vectors, scale)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    column = InBatchSimilarityLoss(scale)(np.array(groups)[:, None], vectors.astype("f"))
    assert float(column) == float(loss)


def test_the_length_of_vectors_does_not_matter():
    vectors = np.random.default_rng(1).standard_normal((4, 8)).astype("f")
    loss = InBatchSimilarityLoss()
    longer = vectors * np.array([[1], [10], [100], [0.1]], "f")
    groups = np.array([0, 0, 1, 1])
    assert float(loss(groups, vectors)) == pytest.approx(float(loss(groups, longer)), rel=1e-4)
    assert np.isfinite(float(loss(groups, vectors * 0)))


def test_weights_of_rows():
    vectors = np.random.default_rng(1).standard_normal((4, 8)).astype("f")
    groups, loss = np.array([0, 0, 1, 1]), InBatchSimilarityLoss()
    rows = [float(loss(groups, vectors, np.eye(4, dtype="f")[i])) for i in range(4)]
    assert float(loss(groups, vectors)) == pytest.approx(np.mean(rows), rel=1e-6)


@pytest.mark.parametrize(
    "loss", [NextTokenLoss(False, 3), InBatchSimilarityLoss(20.0, "mine")], ids=lambda x: x.name
)
def test_losses_are_serializable(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    labels, scores = random_scores()
    arguments = {
        "NextTokenLoss": (labels % 5, scores**2),
        "InBatchSimilarityLoss": ([0, 0], np.eye(2)),
    }
    values = arguments[type(loss).__name__]
    assert float(again(*values)) == float(loss(*values)) == float(loss.call(*values))


@pytest.mark.parametrize("loss", [NextTokenLoss(), InBatchSimilarityLoss()], ids=lambda x: x.name)
def test_losses_compile_with_xla(loss):
    if isinstance(loss, NextTokenLoss):
        labels, scores = random_scores()
    else:
        labels, scores = np.array([0, 0, 1, 1]), np.random.randn(4, 3).astype("f")
    compiled = tf.function(lambda x: loss(labels, x), jit_compile=True)
    assert float(compiled(scores)) == pytest.approx(float(loss(labels, scores)), rel=1e-5)


# Training


def copying_data(count=64):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 3)) for _ in range(count)]
    return texts, data.seq2seq_batches(
        texts, texts, tokenizer=TOKENIZER, batch_size=16, shuffle=True, seed=1
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_unilm_model_learns_through_fit(dtype):
    _, train = copying_data()
    model = build_transformer_model(TINY, model="unilm", with_mlm="linear", dtype=dtype)
    model.compile(AdamW(1e-2), NextTokenLoss(), jit_compile=False)
    losses = model.fit(train, epochs=12, verbose=0).history["loss"]
    assert losses[0] > 2 and losses[-1] < 0.6 * losses[0]
    # What fit reports is the mean over the tokens, whatever the padding of a batch.
    (batch, labels), *_ = train
    expected = float(NextTokenLoss()(labels, model(batch)))
    assert model.test_on_batch(batch, labels) == pytest.approx(expected, rel=1e-2)


def simbert(**options):
    return build_transformer_model(
        TINY, model="unilm", with_pool="linear", with_mlm="linear", **options
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_simbert_learns_through_fit(dtype):
    train = data.similar_batches(GROUPS, tokenizer=TOKENIZER, batch_size=16, shuffle=True, seed=1)
    model = simbert(dtype=dtype)
    model.compile(AdamW(1e-2), [InBatchSimilarityLoss(), NextTokenLoss()], jit_compile=False)
    history = model.fit(train, epochs=25, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    inputs, (numbers, labels) = next(iter(train))
    pooled, scores = model(inputs)
    parts = [InBatchSimilarityLoss()(numbers, pooled), NextTokenLoss()(labels, scores)]
    total = model.test_on_batch(inputs, (numbers, labels))
    assert np.ravel(total)[0] == pytest.approx(float(sum(parts)), rel=2e-2)
    assert float(parts[0]) < 0.5  # chance is log(15) = 2.7


@pytest.mark.slow
def test_simbert_trains_with_xla():
    train = data.similar_batches(GROUPS, tokenizer=TOKENIZER, batch_size=16, shuffle=True, seed=1)
    model = simbert()
    model.compile(AdamW(1e-3), [InBatchSimilarityLoss(), NextTokenLoss()], jit_compile=True)
    assert np.isfinite(model.fit(train, epochs=1, verbose=0).history["loss"][0])


@pytest.mark.slow
def test_a_compiled_model_comes_back_from_its_file(tmp_path):
    train = data.similar_batches(GROUPS, tokenizer=TOKENIZER, batch_size=16)
    model = simbert()
    model.compile(AdamW(1e-3), [InBatchSimilarityLoss(25.0), NextTokenLoss()])
    model.fit(train, epochs=1, verbose=0)
    model.save(tmp_path / "simbert.keras")
    again = keras.models.load_model(tmp_path / "simbert.keras")
    before, after = (m.evaluate(train, verbose=0) for m in (model, again))
    np.testing.assert_allclose(np.ravel(before)[0], np.ravel(after)[0], rtol=1e-5)


# bert4keras's layer


@serializable
class CrossEntropy(Loss):
    """As bert4keras's examples have it."""

    def compute_loss(self, inputs, mask=None):
        token_ids, segment_ids, probabilities = inputs
        targets = tf.cast(segment_ids[:, 1:], tf.float32)
        losses = keras.losses.sparse_categorical_crossentropy(
            token_ids[:, 1:], probabilities[:, :-1]
        )
        return tf.reduce_sum(losses * targets) / tf.reduce_sum(targets)


@pytest.mark.slow
def test_loss_layer_trains_without_labels():
    _, train = copying_data()
    model = build_transformer_model(TINY, model="unilm")
    output = CrossEntropy(output_axis=2)([*model.inputs, *model.outputs])
    trained = keras.Model(model.inputs, output)
    trained.compile(AdamW(1e-2), jit_compile=False)
    unlabelled = train.map(lambda inputs, labels: (inputs,))
    losses = trained.fit(unlabelled, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    (batch, labels), *_ = train
    probabilities = model(batch)
    np.testing.assert_allclose(trained(batch), probabilities, atol=1e-6)
    expected = NextTokenLoss(from_logits=False)(labels, probabilities)
    evaluated = trained.test_on_batch(batch)
    assert np.ravel(evaluated)[0] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("axis", "count"), [(1, 1), ([0, 2], 2), (None, 3)])
def test_what_a_loss_layer_returns(axis, count):
    model = build_transformer_model(TINY, bert_tensors(TINY), model="unilm")
    outputs = CrossEntropy(output_axis=axis)([*model.inputs, *model.outputs])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert len(outputs) == count
    again = CrossEntropy.from_config(CrossEntropy(output_axis=axis, name="x").get_config())
    assert (again.output_axis, again.name) == (axis, "x")


def test_a_loss_layer_without_a_loss():
    with pytest.raises(NotImplementedError, match="Loss must define compute_loss"):
        Loss().compute_loss([])
