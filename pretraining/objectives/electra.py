"""ELECTRA: a small masked language model, and a network that finds the words which it put in.

Clark et al. 2020, arXiv:2003.10555. The generator predicts tokens behind masks; one drawn from each
prediction replaces the original; the discriminator tells for every token whether it is another one
than the original. Both share their embeddings. No gradient flows from the second to the first.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar

from kerasbert.backend import keras, tf
from kerasbert.layers.recompute import draw_seed
from kerasbert.models.electra_config import generator_config
from kerasbert.models.transformer import Transformer
from kerasbert.models.weights import save_networks_as_checkpoint
from pretraining.masking import mask_tokens
from pretraining.objectives import scores
from pretraining.objectives.base import CorpusFacts, Export, Objective, Ratios, Sums
from pretraining.objectives.building import ModelSource, model_inputs, training_model
from pretraining.objectives.draws import random_fractions
from pretraining.objectives.mask_settings import masking_config
from pretraining.objectives.records import candidates, segments

SHARED_LAYERS = ("Embedding-Token", "Embedding-Segment", "Embedding-Position", "Embedding-Norm")


@dataclasses.dataclass(frozen=True)
class ElectraOptions:
    """Options of ELECTRA.

    Attributes:
        generator_config: path or dict of the generator's configuration. None takes what belongs to
            the checkpoint, or without one the discriminator's with the two shares below.
        generator_checkpoint: where the generator goes on from; None is the checkpoint itself, which
            holds both.
        new_generator: whether the generator begins with random weights although the discriminator
            has a checkpoint: one that holds no generator.
        generator_hidden_size: share of the discriminator's width, for random weights.
        generator_layers: share of the discriminator's depth, for random weights.
        temperature: what the generator's logits are divided by before a token is drawn.
        generator_weight: factor of the generator's loss in the total.
        discriminator_weight: factor of the discriminator's.

    Raises:
        ValueError: for a value outside its range, or a checkpoint for a new generator.
    """

    generator_config: str | os.PathLike | Mapping[str, Any] | None = None
    generator_checkpoint: str | os.PathLike | Mapping[str, Any] | None = None
    new_generator: bool = False
    generator_hidden_size: float = 0.25
    generator_layers: float = 1.0
    temperature: float = 1.0
    generator_weight: float = 1.0
    discriminator_weight: float = 50.0

    def __post_init__(self):
        for name in ("temperature", "generator_weight", "discriminator_weight"):
            value, least = getattr(self, name), "above 0" if name == "temperature" else "0 or more"
            if not isinstance(value, Real) or value < 0 or (value == 0 and least == "above 0"):
                raise ValueError(f"{name} must be {least}. Received: {value!r}")
        if self.new_generator and self.generator_checkpoint is not None:
            raise ValueError(
                "new_generator begins with random weights, generator_checkpoint with trained ones: "
                "give only one of them."
            )


class Electra(Objective):
    """ELECTRA's; see the module's description.

    Args:
        corpus: what the records are.
        source: where the discriminator comes from.
        masking: fields of :class:`pretraining.masking.MaskingConfig`. As in Google's program, by
            default single tokens are chosen, of which 85% become [MASK] and the rest stay.
        options: see there.

    Attributes:
        discriminator: its network.
        generator: the generator's.
    """

    name = "electra"
    styles = ("roberta", "short", "bert", "albert")
    options_class: ClassVar[type] = ElectraOptions
    metric_names = (
        *("mlm_accuracy", "sampled_accuracy"),
        *("disc_accuracy", "disc_precision", "disc_recall"),
    )

    def __init__(
        self,
        corpus: CorpusFacts,
        source: ModelSource,
        masking: Mapping[str, Any],
        options: ElectraOptions,
    ):
        super().__init__(corpus)
        if source.model not in (None, "electra"):
            raise ValueError(
                "the objective 'electra' trains the two networks of model='electra'. "
                f"Received: model={source.model!r}"
            )
        self.options = options
        self.loss_weights = {
            "mlm": float(options.generator_weight),
            "disc": float(options.discriminator_weight),
        }
        defaults = {"mode": "plain", "mask_share": 0.85, "random_share": 0.0}
        self.masking = masking_config(corpus, masking, **defaults)
        source = dataclasses.replace(source, model="electra")
        self.discriminator = source.build(corpus, with_discriminator="linear")
        self.generator = self._build_generator(source)
        self.generator_model = training_model(self.generator, self.masking.max_predictions)
        generator, discriminator = self.generator_model, self.discriminator.model
        self.model = keras.Model(  # what both compute, side by side: the owner of all variables
            [*generator.inputs, *discriminator.inputs],
            [generator.output, discriminator.output],
            name="electra_pretraining",
        )
        self.networks = [
            (self.generator, self.masking.max_predictions),
            (self.discriminator, 0),
        ]

    def _build_generator(self, source: ModelSource) -> Transformer:
        options = self.options
        config, checkpoint = options.generator_config, options.generator_checkpoint
        if checkpoint is None and not options.new_generator:
            checkpoint = source.checkpoint
        if config is None and checkpoint is None:
            shares = {
                "generator_hidden_size": options.generator_hidden_size,
                "generator_layers": options.generator_layers,
            }
            config = generator_config({**self.discriminator.config.to_dict(), **shares})
        elif config is None and options.generator_checkpoint is None:
            config = source.config
        fields = type(self.discriminator.config)
        structure = {  # sizes are those of the discriminator
            name: value
            for name, value in source.options.items()
            if fields.canonical_key(name) not in fields.field_names()
        }
        source = dataclasses.replace(
            source,
            **{"config": config, "checkpoint": checkpoint, "model": "electra_generator"},
            options=structure,
        )
        return source.build(
            self.corpus,
            with_mlm="linear",
            prefix="Generator-",
            embedding_size=self.discriminator.config.embedding_width,
            layers={name: self.discriminator.layers[name] for name in SHARED_LAYERS},
        )

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        masked = mask_tokens(
            *(batch["token_ids"], batch["word_starts"]),
            *(candidates(batch, self.corpus), seed, self.masking),
            token_counts=batch["length"],
        )
        return {
            **{"original_ids": batch["token_ids"], "length": batch["length"]},
            **{"segment_ids": segments(batch), **masked._asdict()},
        }

    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        return {
            "mlm": tf.reduce_sum(inputs["weights"]),
            "disc": tf.cast(tf.reduce_sum(inputs["length"]), tf.float32),
        }

    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        given = model_inputs(self.generator, inputs)
        logits = self.generator_model(given, training=training)
        labels, weights = inputs["labels"], inputs["weights"]
        loss, accuracy = scores.of_labels(labels, logits, weights)
        sampled = sample(logits, self.options.temperature)
        right = tf.cast(tf.equal(sampled, labels), tf.float32)
        replaced = put(inputs["original_ids"], inputs["positions"], sampled, weights)
        disc_loss, metrics = self.detection(inputs, replaced, training)
        metrics["mlm_accuracy"] = accuracy
        metrics["sampled_accuracy"] = tf.reduce_sum(right * weights), tf.reduce_sum(weights)
        return {"mlm": loss, "disc": disc_loss}, metrics

    def detection(
        self, inputs: Mapping[str, tf.Tensor], replaced: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, Ratios]:
        """The discriminator's loss and metrics.

        Args:
            inputs: of :meth:`prepare`.
            replaced: int32 (rows, length), the original tokens but for the generator's.
            training: whether to drop out.
        """
        reads_segments = self.discriminator.reads_segments
        given = [replaced, inputs["segment_ids"]] if reads_segments else replaced
        logits = self.discriminator.model(given, training=training)[..., 0]
        fake = tf.not_equal(replaced, inputs["original_ids"])
        real = tf.sequence_mask(inputs["length"], replaced.shape[1])
        losses = tf.nn.sigmoid_cross_entropy_with_logits(
            tf.cast(fake, tf.float32), tf.cast(logits, tf.float32)
        )
        found = logits > 0

        def count(flags: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.cast(flags & real, tf.float32))

        metrics = {
            "disc_accuracy": (count(found == fake), count(tf.ones_like(fake))),
            "disc_precision": (count(found & fake), count(found)),
            "disc_recall": (count(found & fake), count(fake)),
        }
        return tf.reduce_sum(tf.where(real, losses, 0.0)), metrics

    def exports(self) -> list[Export]:
        def write(path: str | os.PathLike, tokenizer=None) -> str:
            networks = {
                "discriminator.json": self.discriminator,
                "generator.json": self.generator,
            }
            return save_networks_as_checkpoint(networks, path, vocab=tokenizer)

        return [Export("electra_model", write)]


def sample(logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Draws a class from each softmax, by Gumbel noise; no gradient passes.

    Args:
        logits: float32 (..., classes).
        temperature: what they are divided by.

    Returns:
        int32 (...).
    """
    noise = -tf.math.log(-tf.math.log(random_fractions(tf.shape(logits), draw_seed())))
    noisy = tf.stop_gradient(logits) / temperature + noise
    return tf.argmax(noisy, -1, output_type=tf.int32)


def put(
    token_ids: tf.Tensor, positions: tf.Tensor, tokens: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Puts tokens at positions.

    Args:
        token_ids: int32 (rows, length).
        positions: int32 (rows, count), different ones where the weight is not 0.
        tokens: int32 (rows, count).
        weights: float32 (rows, count), 0 for positions that are none.

    Returns:
        int32 (rows, length).
    """
    change = tokens - tf.gather(token_ids, positions, batch_dims=1)
    change = tf.where(weights > 0, change, 0)
    rows = tf.range(tf.shape(positions)[0])[:, None] + tf.zeros_like(positions)
    places = tf.stack([rows, positions], -1)
    return tf.tensor_scatter_nd_add(token_ids, places, change)
