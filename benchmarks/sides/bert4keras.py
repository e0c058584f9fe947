"""The bert4keras side: version 0.11.5 on Keras 2.3.1, TensorFlow 1.15 and Python 3.7, float32 only.

Batches are padded to their own longest row, as its ``sequence_padding`` does.
"""

from __future__ import annotations

import random

import numpy as np

from benchmarks.sides.protocol import Side, serve


class Bert4Keras(Side):
    """Runs every row with bert4keras, as its examples do."""

    def imports(self):
        import bert4keras
        import tensorflow as tf
        from bert4keras.backend import K, keras
        from bert4keras.models import build_transformer_model

        tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
        options = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=self.threads, inter_op_parallelism_threads=self.threads
        )
        K.set_session(tf.compat.v1.Session(config=options))
        self.keras, self.build_transformer_model = keras, build_transformer_model
        return {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "bert4keras": bert4keras.__version__,
        }

    def build(self, **options):
        """The model with the checkpoint's weights."""
        folder = self.job["assets"] + "/google/"
        return self.build_transformer_model(
            folder + "bert_config.json", folder + "bert_model.ckpt", **options
        )

    def tokenizer(self):
        """Its tokenizer, which is pure Python."""
        from bert4keras.tokenizers import Tokenizer

        return Tokenizer(self.job["assets"] + "/google/vocab.txt", do_lower_case=True)

    def prepare_load(self):
        return self.prepare_forward()

    def prepare_forward(self):
        model = self.build()
        arrays = self.read_inputs()
        inputs = [arrays["token_ids"], arrays["segment_ids"]]
        self.work = lambda: model.predict(inputs, batch_size=len(inputs[0]))
        self.result = lambda: {"hidden": np.asarray(self.work(), np.float32)}

    def prepare_classifier(self):
        """Pooled output, dropout and two classes, with Adam and decoupled weight decay."""
        from bert4keras.optimizers import Adam, extend_with_weight_decay

        body = self.build(with_pool=True)
        dropped = self.keras.layers.Dropout(0.1)(body.output)
        head = self.keras.layers.Dense(2)
        self.model = self.keras.models.Model(body.input, head(dropped))
        head.set_weights(list(self.read_head()))
        optimizer = extend_with_weight_decay(Adam)(learning_rate=2e-5, weight_decay_rate=0.01)
        losses = self.keras.losses.sparse_categorical_crossentropy
        self.model.compile(
            loss=lambda labels, logits: losses(labels, logits, from_logits=True),
            optimizer=optimizer,
        )

    def prepare_train_step(self):
        self.prepare_classifier()
        arrays = self.read_inputs()
        inputs = [arrays["token_ids"], arrays["segment_ids"]]
        self.work = lambda: float(self.model.train_on_batch(inputs, arrays["labels"]))
        self.result = lambda: {"logits": self.model.predict_on_batch(inputs)}

    def prepare_finetune_epoch(self):
        from bert4keras.snippets import sequence_padding

        self.prepare_classifier()
        tokenizer, pairs = self.tokenizer(), self.read_inputs()
        size = self.job["sizes"]["batch"]

        def batch(rows):
            encoded = [tokenizer.encode(first, second, maxlen=512) for first, second, _ in rows]
            inputs = [sequence_padding([row[part] for row in encoded]) for part in (0, 1)]
            return inputs, np.array([label for *_, label in rows])

        def epoch():
            order = random.sample(pairs, len(pairs))
            starts = range(0, len(order), size)
            losses = [self.model.train_on_batch(*batch(order[at : at + size])) for at in starts]
            return float(np.mean(losses))

        self.work = epoch
        self.result = lambda: {"logits": self.model.predict_on_batch(batch(pairs[:size])[0])}
        return {"padding": "longest of each batch"}

    def prepare_generate(self):
        """Its decoder reads the whole text for every token, for one text at a time."""
        from bert4keras.snippets import AutoRegressiveDecoder

        sizes, prompts = self.job["sizes"], self.read_inputs()
        model = self.build(
            application="lm", with_mlm="linear", keep_tokens=list(range(sizes["vocabulary"]))
        )
        beams = 3 if "beam3" in self.job["variant"] else 1

        class Decoder(AutoRegressiveDecoder):
            @AutoRegressiveDecoder.wraps("logits")
            def predict(self, inputs, output_ids, states):
                token_ids = np.concatenate([inputs[0], output_ids], 1)
                last = self.last_token(model)
                return last.predict([token_ids, np.zeros_like(token_ids)])

        count = sizes["new_tokens"]
        decoder = Decoder(start_id=None, end_id=-1, maxlen=count, minlen=count)
        self.work = lambda: [
            decoder.beam_search([prompt], topk=beams).tolist() for prompt in prompts
        ]
        self.result = lambda: {"rows": self.work()}

    def prepare_tokenise(self):
        tokenizer = self.tokenizer()
        self.tokenise_with(
            lambda texts: [tokenizer.encode(text)[0] for text in texts],
            lambda text: tokenizer.encode(text)[0],
        )


if __name__ == "__main__":
    serve(Bert4Keras())
