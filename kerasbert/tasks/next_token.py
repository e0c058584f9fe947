"""The loss of sequence-to-sequence training: the cross-entropy of each token of the target."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, tf


@serializable
class NextTokenLoss(keras.losses.Loss):
    """Cross-entropy of the next token, averaged over all tokens of a batch that have a label.

    The labels say what comes *after* each position (:func:`kerasbert.data.next_token_labels`
    makes them), so that nothing is shifted here. Long targets weigh more than short ones, as in
    bert4keras's examples and in UniLM's code. Computed in float32, with static shapes.

    Args:
        from_logits: whether the model returns logits (``with_mlm="linear"``) and not probabilities.
        ignore_id: the label of positions that have no loss.
        name: name of the loss.
    """

    def __init__(
        self, from_logits: bool = True, ignore_id: int = -1, name: str = "next_token_loss"
    ):
        super().__init__(name=name)
        self.from_logits = from_logits
        self.ignore_id = ignore_id

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Computes the loss.

        Keras's own mean would count the positions that are ignored.

        Args:
            y_true: labels, integer (batch, length).
            y_pred: logits or probabilities (batch, length, vocab_size).
            sample_weight: (batch,) or (batch, length); factors of the tokens' weights, or None.

        Returns:
            A float32 scalar; 0 where no position has a label.
        """
        labels = tf.cast(y_true, tf.int32)
        scores = tf.cast(y_pred, tf.float32)
        weights = tf.cast(tf.not_equal(labels, self.ignore_id), tf.float32)
        labels = tf.where(weights > 0, labels, 0)
        if self.from_logits:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
        else:
            losses = -tf.math.log(tf.gather(scores, labels, batch_dims=2) + 1e-12)
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight, tf.float32)
            weights *= sample_weight if sample_weight.shape.rank == 2 else sample_weight[:, None]
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))

    def call(self, y_true, y_pred):
        """The same without weights."""
        return self(y_true, y_pred)

    def get_config(self) -> dict:
        return {"from_logits": self.from_logits, "ignore_id": self.ignore_id, "name": self.name}
