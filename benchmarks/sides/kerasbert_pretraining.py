"""This package's side of the pretraining rows, with the parts that a run is made of.

``masking`` has the masks of a run (``prepare`` of its objective in ``tf.data``) on sequences in
memory, which is where the peers' collators begin; the mode ``records`` is all that a run does for
its batches: every round begins an epoch, and reads, unpacks, parses and shuffles compressed shards.
``pretrain_step`` is the loop's own step; the mode ``limit`` computes nothing but matrix products,
as many operations as the step has, for the share of the machine that a step makes use of.
"""

from __future__ import annotations

import itertools
import types
from pathlib import Path

import numpy as np

from benchmarks.sides.masks import mask_shares
from benchmarks.sides.protocol import CHECKED

SHARDS = 4


class Pretraining:
    """Rows of the package ``pretraining``, for the side that has ``tf``, ``job`` and so on."""

    def corpus_facts(self, arrays):
        """What an objective has to know of the records."""
        from benchmarks.sequences import SPECIAL

        return types.SimpleNamespace(
            style="roberta",
            max_length=arrays["token_ids"].shape[-1],
            special_ids=dict(zip(SPECIAL, arrays["special_ids"].tolist())),
            vocab_size=int(arrays["vocab_size"]),
        )

    def prepare_masking(self):
        from pretraining.objectives import make_objective

        arrays, tf = self.read_inputs(), self.tf
        facts, size = self.corpus_facts(arrays), self.job["sizes"]["batch"]
        mode = self.job["variant"].rsplit("_", 1)[0]
        smallest = {  # the model does not matter, but an objective has one
            **dict.fromkeys(("hidden_size", "intermediate_size"), 8),
            **dict.fromkeys(("num_hidden_layers", "num_attention_heads"), 1),
            "max_position_embeddings": facts.max_length,
            "vocab_size": facts.vocab_size,
        }
        masking = {"mode": mode}
        objective = make_objective("roberta", facts, config=smallest, masking=masking)
        batches = len(arrays["token_ids"]) // size
        if self.job["mode"] == "records":
            dataset = self.batches_of_records(arrays, facts, objective).epoch(0)
            once = dataset
        else:
            dataset = self.batches_in_memory(arrays, objective, size)
            once = dataset.take(batches)

        @tf.function
        def take(iterator):
            """All batches, as a loop in the graph takes them; returns how many predictions."""

            def add(done, total):
                return done + 1, total + tf.reduce_sum(iterator.get_next()["weights"])

            return tf.while_loop(lambda done, _: done < batches, add, (0, 0.0))[1]

        iterator = iter(dataset)

        def work():
            take(iter(dataset) if self.job["mode"] == "records" else iterator).numpy()

        def result():
            work()
            found = list(once.as_numpy_iterator())
            names = ("token_ids", "positions", "labels", "weights")
            ids, *chosen = (np.concatenate([batch[name] for batch in found]) for name in names)
            return mask_shares(arrays, ids, spread(ids.shape, *chosen), mode == "whole_word")

        self.work, self.result = work, result

    def batches_in_memory(self, arrays, objective, size):
        """The sequences in batches, masked as :class:`pretraining.inputs.Batches` does it.

        It goes on for ever, as epochs of millions of sequences do: to start one takes a third of so
        short a round. Its buffers are short, so that little is done between rounds.
        """
        tf = self.tf
        count, length = arrays["token_ids"].shape
        rows = {
            "token_ids": arrays["token_ids"],
            "word_starts": arrays["word_starts"],
            "first_length": np.full(count, length, np.int32),
            "length": np.full(count, length, np.int32),
            "label": np.zeros(count, np.int32),
        }
        batches = tf.data.Dataset.from_tensor_slices(rows).batch(size, drop_remainder=True)
        steps = tf.data.Dataset.range(np.iinfo(np.int32).max)

        def prepare(step, batch):
            return objective.prepare(batch, tf.stack([1, tf.cast(step, tf.int32)]))

        return (
            tf.data.Dataset.zip((steps, batches.repeat()))
            .map(prepare, num_parallel_calls=self.threads, deterministic=True)
            .prefetch(1)
        )

    def batches_of_records(self, arrays, facts, objective):
        """The sequences in shards, as a corpus has them."""
        from pretraining.inputs import Batches
        from pretraining.records import Corpus, TokenStream

        ids, starts = arrays["token_ids"], arrays["word_starts"]
        count, length = ids.shape
        special = facts.special_ids
        inner = length - 2
        stream = TokenStream(
            ids[:, 1:-1].ravel(), starts[:, 1:-1].ravel(), special["cls"], special["sep"]
        )
        folder = Path(self.job["inputs"]).with_suffix(".shards")
        folder.mkdir(exist_ok=True)
        shards = []
        for number in range(SHARDS):
            path = folder / f"{number}.tfrecord.gz"
            with self.tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                places = range(number, count, SHARDS)
                for at in places:
                    writer.write(stream.record([(at * inner, (at + 1) * inner)]))
            shards.append((path, len(places)))
        corpus = Corpus(
            folder=folder,
            style=facts.style,
            max_length=length,
            shards=shards,
            examples=count,
            tokens=ids.size,
            special_ids=special,
            vocab_size=facts.vocab_size,
            manifest={},
        )
        return Batches(corpus, objective, batch_size=self.job["sizes"]["batch"], seed=1)

    def prepare_pretrain_step(self):
        """The step of a run: gradients, clipping at 1, AdamW without decay of biases."""
        from kerasbert.optimizers.applying import create_state
        from kerasbert.startup import keep_memory
        from pretraining.host_loop import HostLoop
        from pretraining.objectives import make_objective
        from pretraining.optimization import make_optimizer
        from pretraining.settings import Settings
        from pretraining.step import Step

        keep_memory()  # as `pretraining.run` does
        arrays, tf = self.read_inputs(), self.tf
        policy = "mixed_bfloat16" if self.job["dtype"] == "bfloat16" else "float32"
        settings = Settings(schedule="constant", warmup=0, optimizer_options={"epsilon": 1e-8})
        options = {"dropout_rate": 0.0, "attention_dropout_rate": 0.0}
        if "hidden_act" in self.job:
            options["hidden_act"] = self.job["hidden_act"]
        objective = make_objective(
            settings.objective,
            self.corpus_facts(arrays),
            checkpoint=self.job["assets"] + "/google",
            dtype=policy,
            masking={"max_predictions": arrays["positions"].shape[-1]},
            model_options=options,
        )
        if self.job["mode"] == "limit":
            return self.prepare_limit(objective)
        optimizer = make_optimizer(settings)
        create_state(optimizer, objective.model.trainable_variables)
        host = HostLoop(
            Step(objective, optimizer, seed=settings.seed, clip_norm=settings.clip_norm)
        )
        names = ("token_ids", "positions", "labels")
        inputs = {name: arrays[name] for name in names}
        inputs["segment_ids"] = np.zeros_like(inputs["token_ids"])
        inputs["weights"] = np.ones(inputs["labels"].shape, np.float32)
        iterator = iter(tf.data.Dataset.from_tensor_slices(inputs).repeat())
        numbers = itertools.count()
        self.work = lambda: float(host.steps(iterator, next(numbers), 1)["loss"][0])
        self.result = lambda: {"losses": np.array([self.work() for _ in range(CHECKED)])}

    def prepare_limit(self, objective):
        """As many operations as a step in nothing but the products of its feed-forward layers."""
        from pretraining.work import matmul_limit, training_flops

        tf, dtype, sizes = self.tf, self.job["dtype"], self.job["sizes"]
        operations = sizes["batch"] * training_flops(objective)
        config = objective.networks[0][0].config
        hidden, inner = config.hidden_size, config.intermediate_size
        rows = min(1024, sizes["batch"] * sizes["length"])

        def matrix(height, width):
            numbers = tf.random.stateless_normal([height, width], [1, 2], stddev=height**-0.5)
            return tf.cast(numbers, dtype)

        start, up, down = matrix(rows, hidden), matrix(hidden, inner), matrix(inner, hidden)
        layers = max(1, round(operations / (4 * rows * hidden * inner)))

        @tf.function
        def products():
            _, last = tf.while_loop(
                lambda done, _: done < layers,
                lambda done, x: (done + 1, tf.matmul(tf.matmul(x, up), down)),
                (0, start),
            )
            return last[0, 0]

        def work():
            products().numpy()

        self.work = work
        self.result = lambda: work() or {}
        return {
            "operations": operations,
            "operations_done": layers * 4 * rows * hidden * inner,
            "matmul_limit": matmul_limit(dtype),
        }


def spread(shape, positions, labels, weights):
    """Labels at their positions, (sequences, length), -100 elsewhere."""
    found = np.full(shape, -100, np.int64)
    rows, columns = np.nonzero(weights)
    found[rows, positions[rows, columns]] = labels[rows, columns]
    return found
