"""The loss of SimBERT's retrieval half: every row finds its partner among the rows of its batch."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, tf


def partner_logits(
    groups: tf.Tensor,
    vectors: tf.Tensor,
    scale: float,
    batch: tuple[tf.Tensor, tf.Tensor] | None = None,
    first: int | tf.Tensor = 0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores of every row for every row of its batch.

    Args:
        groups: numbers of the groups, int32 (rows,).
        vectors: (rows, width), of any length.
        scale: what cosine similarities are multiplied by.
        batch: groups (batch,) and vectors (batch, width) of the rows to compare with, where these
            are more than the rows given.
        first: where the rows given begin in that batch.

    Returns:
        Logits, float32 (rows, batch), very low for a row itself; and which of them are of partners,
        the other rows of the same group, bool (rows, batch).
    """
    vectors = _normalized(vectors)
    others, candidates = (groups, vectors) if batch is None else (batch[0], _normalized(batch[1]))
    similarities = scale * tf.matmul(vectors, candidates, transpose_b=True)
    own = first + tf.range(tf.shape(groups)[0])
    itself = tf.equal(own[:, None], tf.range(tf.shape(others)[0]))
    partners = tf.equal(groups[:, None], others) & ~itself
    return tf.where(itself, -1e9, similarities), partners


def partner_losses(logits: tf.Tensor, partners: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropies of the partners, which share the probability.

    Args:
        logits: of :func:`partner_logits`.
        partners: of the same.

    Returns:
        The loss of each row, float32 (rows,), and 1 where it has a partner, else 0.
    """
    counts = tf.reduce_sum(tf.cast(partners, tf.float32), axis=1)
    targets = tf.math.divide_no_nan(tf.cast(partners, tf.float32), counts[:, None])
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return losses, tf.cast(counts > 0, tf.float32)


def _normalized(vectors: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=1, epsilon=1e-12)


@serializable
class InBatchSimilarityLoss(keras.losses.Loss):
    """Softmax cross-entropy over the cosine similarities of a batch, against the partner.

    Vectors are L2-normalised, their similarities multiplied by ``scale``, that of a row to itself
    left out; every row is then classified as its partner, so that all other rows are its negatives
    (SimBERT: Su 2020, github.com/ZhuiyiTechnology/simbert). Labels are numbers of groups: partners
    are the rows of the same number, several of them share the probability, so that a group that
    comes twice in a batch is not its own negative. A row without a partner has no loss. With
    several replicas each sees its own rows only.

    Args:
        scale: what similarities are multiplied by (1 / temperature); 30 in SimBERT.
        name: name of the loss.
    """

    def __init__(self, scale: float = 30.0, name: str = "in_batch_similarity_loss"):
        super().__init__(name=name)
        self.scale = scale

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Computes the loss.

        Args:
            y_true: numbers of the groups, integer (batch,) or (batch, 1).
            y_pred: vectors (batch, width), of any length.
            sample_weight: (batch,) or (batch, 1), factors of the rows' weights, or None.

        Returns:
            A float32 scalar: the mean over the rows that have a partner, or 0.
        """
        groups = tf.reshape(tf.cast(y_true, tf.int32), [-1])
        losses, weights = partner_losses(*partner_logits(groups, y_pred, self.scale))
        if sample_weight is not None:
            weights *= tf.reshape(tf.cast(sample_weight, tf.float32), [-1])
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))

    def call(self, y_true, y_pred):
        """The same without weights."""
        return self(y_true, y_pred)

    def get_config(self) -> dict:
        return {"scale": self.scale, "name": self.name}
