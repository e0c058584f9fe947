"""The keras-hub side: its BERT on TensorFlow.

The default mode of ``forward`` calls the model in one ``tf.function`` (its best form), that of
``load`` calls it eagerly (the soonest output); the mode ``predict`` is ``model.predict``.
Its BERT always uses the tanh form of gelu, so its outputs are compared with ours in that form.
``finetune_epoch`` pads to the longest pair of the data; the preprocessor's own default of 512 would
be many times slower. bfloat16 means the dtype ``bfloat16`` in ``forward`` and the policy
``mixed_bfloat16`` in training.
"""

from __future__ import annotations

import functools
import itertools
import os

import numpy as np

from benchmarks.sides.protocol import CHECKED, Side, serve


class KerasHub(Side):
    """Runs every row with keras-hub."""

    def imports(self):
        os.environ["KERAS_BACKEND"] = "tensorflow"
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        tf.config.threading.set_inter_op_parallelism_threads(self.threads)
        import keras
        import keras_hub

        self.tf, self.keras, self.hub = tf, keras, keras_hub
        return {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "keras_hub": keras_hub.__version__,
        }

    @property
    def folder(self):
        """Where this library's own preset is."""
        return self.job["assets"] + "/keras_hub"

    def prepare_convert(self):
        """Writes the preset that the other rows load, from the Hugging Face folder."""
        source = self.job["assets"] + "/huggingface"
        backbone = self.hub.models.BertBackbone.from_preset(source)
        tokenizer = self.hub.models.BertTokenizer.from_preset(source)
        unfinished = self.folder + ".unfinished"
        backbone.save_to_preset(unfinished)
        tokenizer.save_to_preset(unfinished)
        os.replace(unfinished, self.folder)

    def inputs(self, arrays):
        """The model's inputs from the harness's arrays."""
        ids = arrays["token_ids"].astype(np.int32)
        return {
            "token_ids": ids,
            "segment_ids": arrays["segment_ids"].astype(np.int32),
            "padding_mask": (ids > 0).astype(np.int32),
        }

    def prepare_load(self):
        return self.prepare_forward()

    def prepare_forward(self):
        model = self.hub.models.BertBackbone.from_preset(self.folder, dtype=self.job["dtype"])
        inputs = self.inputs(self.read_inputs())
        if self.job["mode"] == "predict":

            def forward():
                return model.predict(inputs, batch_size=len(inputs["token_ids"]), verbose=0)
        else:
            call = self.tf.function if self.job["row"] == "forward" else (lambda function: function)
            function = call(lambda tensors: model(tensors, training=False))
            tensors = {name: self.tf.constant(array) for name, array in inputs.items()}

            def forward():
                return function(tensors)

        def hidden():
            return np.asarray(forward()["sequence_output"], np.float32)

        self.work = hidden
        self.result = lambda: {"hidden": hidden()}
        return {"hidden_act": "gelu_tanh"}

    def prepare_classifier(self):
        """A classifier that takes token ids, compiled; auto-jit is off on CPU by Keras's choice."""
        policy = "mixed_bfloat16" if self.job["dtype"] == "bfloat16" else "float32"
        backbone = self.hub.models.BertBackbone.from_preset(self.folder, dtype=policy)
        self.model = self.hub.models.BertTextClassifier(backbone, num_classes=2)
        self.model.output_dense.set_weights(list(self.read_head()))
        self.model.compile(
            optimizer=self.keras.optimizers.AdamW(2e-5, weight_decay=0.01),
            loss=self.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[],
        )

    def logits(self, inputs):
        """The classifier's logits, without dropout."""
        return {"logits": np.asarray(self.model(inputs, training=False), np.float32)}

    def prepare_train_step(self):
        self.prepare_classifier()
        arrays = self.read_inputs()
        inputs, labels = self.inputs(arrays), arrays["labels"]
        self.work = lambda: float(self.model.train_on_batch(inputs, labels))
        self.result = lambda: self.logits(inputs)
        return {"hidden_act": "gelu_tanh"}

    def prepare_finetune_epoch(self):
        self.prepare_classifier()
        firsts, seconds, labels = (list(column) for column in zip(*self.read_inputs()))
        batch = self.job["sizes"]["batch"]
        tokenizer = self.hub.models.BertTokenizer.from_preset(self.folder)
        rows = zip(tokenizer(firsts), tokenizer(seconds))
        longest = min(512, max(len(first) + len(second) + 3 for first, second in rows))
        preprocessor = self.hub.models.BertTextClassifierPreprocessor(
            tokenizer, sequence_length=longest
        )
        data = self.tf.data.Dataset.from_tensor_slices(((firsts, seconds), labels))
        data = data.shuffle(len(labels)).batch(batch)
        data = data.map(preprocessor, num_parallel_calls=self.tf.data.AUTOTUNE)
        data = data.prefetch(self.tf.data.AUTOTUNE)

        def epoch():
            return float(self.model.fit(data, epochs=1, verbose=0).history["loss"][0])

        self.work = epoch
        pairs = (firsts[:batch], seconds[:batch])
        self.result = lambda: self.logits(preprocessor(pairs, labels[:batch])[0])
        return {"padding": "longest of the data", "longest": longest, "hidden_act": "gelu_tanh"}

    def prepare_pretrain_step(self):
        """Its masked language model, with the chosen positions as its preprocessor gives them.

        Its head has the erf form of gelu and another epsilon than BERT's; they are set so that the
        losses can be compared, which costs no time.
        """
        policy = "mixed_bfloat16" if self.job["dtype"] == "bfloat16" else "float32"
        backbone = self.hub.models.BertBackbone.from_preset(self.folder, dtype=policy, dropout=0.0)
        model = self.hub.models.BertMaskedLM(backbone, preprocessor=None)
        self.set_masked_lm_head(model.masked_lm_head)
        optimizer = self.keras.optimizers.AdamW(
            1e-4, weight_decay=0.01, epsilon=1e-8, global_clipnorm=1.0
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        model.compile(
            optimizer=optimizer,
            loss=self.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=[],
        )
        arrays = self.read_inputs()
        batches = []
        for ids, positions, labels in zip(
            *(arrays[n] for n in ("token_ids", "positions", "labels"))
        ):
            inputs = self.inputs({"token_ids": ids, "segment_ids": 0 * ids})
            batches.append(({**inputs, "mask_positions": positions}, labels, np.ones(labels.shape)))
        batches = itertools.cycle(batches)

        def step():
            model.reset_metrics()  # or the loss would be the mean over all steps so far
            return float(model.train_on_batch(*next(batches)))

        self.work = step
        self.result = lambda: {"losses": np.array([step() for _ in range(CHECKED)])}
        return {"hidden_act": "gelu_tanh"}

    def set_masked_lm_head(self, head):
        """Gives the head the checkpoint's weights, which no preset holds."""
        from safetensors.numpy import load_file

        tensors = load_file(self.job["assets"] + "/huggingface/model.safetensors")
        scope = "cls.predictions."
        values = {
            "intermediate_dense/kernel": tensors[scope + "transform.dense.weight"].T,
            "intermediate_dense/bias": tensors[scope + "transform.dense.bias"],
            "intermediate_layer_norm/gamma": tensors[scope + "transform.LayerNorm.weight"],
            "intermediate_layer_norm/beta": tensors[scope + "transform.LayerNorm.bias"],
            "output_bias": tensors[scope + "bias"],
        }
        for name, value in values.items():
            (variable,) = (v for v in head.weights if v.path.endswith(name))
            variable.assign(value)
        head._intermediate_dense.activation = functools.partial(
            self.keras.activations.gelu, approximate=True
        )
        head._intermediate_layer_norm.epsilon = 1e-12

    def prepare_tokenise(self):
        tokenizer = self.hub.models.BertTokenizer.from_preset(self.folder)
        start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.tokenise_with(
            lambda texts: [[start, *row, end] for row in tokenizer(texts)],
            lambda text: [start, *tokenizer(text), end],
        )


if __name__ == "__main__":
    serve(KerasHub())
