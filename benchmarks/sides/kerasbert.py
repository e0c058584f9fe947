"""This package's side, on the same keys to speed that any user of it has.

The default mode of ``forward`` calls the model in one ``tf.function``, that of ``load`` calls it
eagerly; the mode ``predict`` is ``model.predict``. ``tokenise`` returns lists, as the peers do; its
mode ``ids`` is ``tokenizer.encode_ids(texts)``, which returns token ids alone, and its mode
``arrays`` the plain ``tokenizer(texts)``, which returns padded numpy arrays. bfloat16 means
the dtype ``bfloat16`` in ``forward`` and the policy ``mixed_bfloat16`` in training.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sides.kerasbert_pretraining import Pretraining
from benchmarks.sides.protocol import FEW, Side, serve


class KerasBert(Pretraining, Side):
    """Runs every row with kerasbert."""

    def imports(self):
        import kerasbert  # first, as a script of a user has it: it shortens TensorFlow's import
        from kerasbert.backend import keras, tf

        tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        tf.config.threading.set_inter_op_parallelism_threads(self.threads)

        self.tf, self.keras, self.kerasbert = tf, keras, kerasbert
        return {
            "tensorflow": tf.__version__,
            "keras": getattr(keras, "__version__", tf.__version__),  # TensorFlow's own has none
            "kerasbert": kerasbert.__version__,
        }

    def build(self, **options):
        """The model with the checkpoint's weights."""
        if "hidden_act" in self.job:
            options["hidden_act"] = self.job["hidden_act"]
        return self.kerasbert.build_transformer_model(self.folder, **options)

    @property
    def folder(self):
        """Where the checkpoint is, in the format that is measured."""
        assets, variant = Path(self.job["assets"]), self.job["variant"]
        if self.job["row"] != "load_formats" or variant == "google":
            return assets / "google"
        return assets / {"safetensors": "huggingface"}.get(variant, variant)

    def prepare_load_formats(self):
        return self.prepare_forward()

    def tokenizer(self):
        """The tokenizer of the checkpoint."""
        from kerasbert.tokenizers import Tokenizer

        return Tokenizer(self.job["assets"] + "/google/vocab.txt", do_lower_case=True)

    def tokenizer_of(self, size):
        """The tokenizer of the first tokens of the checkpoint's vocabulary."""
        from kerasbert.tokenizers import Tokenizer

        with open(self.job["assets"] + "/google/vocab.txt", encoding="utf-8") as file:
            tokens = [line.rstrip("\n") for line in file][:size]
        return Tokenizer(tokens, do_lower_case=True)

    def prepare_load(self):
        return self.prepare_forward()

    def prepare_forward(self):
        model = self.build(dtype=self.job["dtype"])
        arrays = self.read_inputs()
        inputs = [arrays["token_ids"], arrays["segment_ids"]]
        if self.job["mode"] == "predict":

            def forward():
                return model.predict(inputs, batch_size=len(inputs[0]), verbose=0)
        else:
            call = self.tf.function if self.job["row"] == "forward" else (lambda function: function)
            function = call(lambda tensors: model(tensors, training=False))
            tensors = [self.tf.constant(array) for array in inputs]

            def forward():
                return function(tensors)

        self.work = lambda: np.asarray(forward(), np.float32)
        self.result = lambda: {"hidden": self.work()}

    def prepare_classifier(self):
        """Pooled output, dropout and two classes, as the README's example does it."""
        policy = "mixed_bfloat16" if self.job["dtype"] == "bfloat16" else "float32"
        keras = self.keras
        body = self.build(with_pool=True, dtype=policy)
        dropped = keras.layers.Dropout(0.1, dtype=policy)(body.output)
        head = keras.layers.Dense(2, dtype="float32")
        self.model = keras.Model(body.inputs, head(dropped))
        head.set_weights(list(self.read_head()))
        self.model.compile(
            optimizer=keras.optimizers.AdamW(2e-5, weight_decay=0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def logits(self, inputs):
        """The classifier's logits, without dropout."""
        return {"logits": np.asarray(self.model(inputs, training=False), np.float32)}

    def prepare_train_step(self):
        self.prepare_classifier()
        arrays = self.read_inputs()
        inputs = [arrays["token_ids"], arrays["segment_ids"]]
        self.work = lambda: float(self.model.train_on_batch(inputs, arrays["labels"]))
        self.result = lambda: self.logits(inputs)

    def prepare_finetune_epoch(self):
        from kerasbert import data

        self.prepare_classifier()
        tokenizer, rows = self.tokenizer(), self.read_inputs()
        pairs, labels = [row[:2] for row in rows], [row[2] for row in rows]
        size = self.job["sizes"]["batch"]

        def epoch():
            batches = data.batches(
                pairs, labels, batch_size=size, shuffle=True, tokenizer=tokenizer, max_length=512
            )
            return float(self.model.fit(batches, epochs=1, verbose=0).history["loss"][0])

        first = tokenizer(pairs[:size])
        self.work = epoch
        self.result = lambda: self.logits([first["token_ids"], first["segment_ids"]])
        return {"padding": "longest of each batch of like lengths"}

    def prepare_encode(self):
        """Weights stay float32; bfloat16 is computed in."""
        from kerasbert.embedding import TextEncoder

        encoder = TextEncoder(self.build(), self.tokenizer(), pooling="mean")
        questions = self.read_inputs()
        self.work = lambda: encoder.encode(questions, dtype=self.job["dtype"])
        self.result = lambda: {"vectors": encoder.encode(questions[:FEW], dtype=self.job["dtype"])}

    def prepare_generate(self):
        """The mode is the dtype of weights and computing."""
        from kerasbert.generation import TextGenerator

        sizes, prompts = self.job["sizes"], self.read_inputs()
        model = self.build(
            application="lm",
            with_mlm="linear",
            dtype=self.job["mode"] or "float32",
            keep_tokens=range(sizes["vocabulary"]),
        )
        count = sizes["new_tokens"]
        generator = TextGenerator(
            model,
            self.tokenizer_of(sizes["vocabulary"]),
            max_new_tokens=count,
            min_new_tokens=count,
            num_beams=3 if "beam3" in self.job["variant"] else 1,
        )
        self.work = lambda: generator.generate(prompts, return_details=True)
        self.result = lambda: {"rows": [text.token_ids for text in self.work()]}

    def prepare_tokenise(self):
        self.tokenise(self.tokenizer())

    def prepare_tokenise_bpe(self):
        self.tokenise_folder("roberta")

    def prepare_tokenise_sentencepiece(self):
        self.tokenise_folder("xlmr")

    def tokenise_folder(self, name):
        """Tokenises with the tokenizer in a folder of the assets."""
        from kerasbert.tokenizers import Tokenizer

        self.tokenise(Tokenizer.from_pretrained(self.job["assets"] + "/" + name))

    def tokenise(self, tokenizer):
        """Tokenises to lists, to lists of ids alone, or to arrays."""
        if self.job["mode"] == "arrays":

            def unpadded(encoding):
                if isinstance(encoding, list):  # of single calls
                    return encoding
                pairs = zip(encoding["token_ids"], encoding["attention_mask"])
                return [ids[mask > 0].tolist() for ids, mask in pairs]

            self.tokenise_with(
                lambda texts: tokenizer(texts),
                lambda text: tokenizer(text)["token_ids"].tolist(),
                finish=unpadded,
            )
        elif self.job["mode"] == "ids":
            self.tokenise_with(tokenizer.encode_ids, tokenizer.encode_ids)
        else:

            def lists(texts):
                return tokenizer(texts, padding=False, return_tensors=None)["token_ids"]

            self.tokenise_with(lists, lists)


if __name__ == "__main__":
    serve(KerasBert())
