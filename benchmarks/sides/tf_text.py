"""A reference for the row tokenise: tensorflow-text's FastBertTokenizer, one call for all texts.

What it returns stays a RaggedTensor, without [CLS] and [SEP] and without Python lists: the floor
of what a tokenizer built on it could take. Its ids are not those of the original BERT code: its
normalisation (NFKC) turns full-width punctuation to ASCII.
"""

from __future__ import annotations

from benchmarks.sides.protocol import Side, serve


class TensorFlowText(Side):
    """Runs the row tokenise."""

    def imports(self):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        tf.config.threading.set_inter_op_parallelism_threads(self.threads)
        import tensorflow_text as text

        self.tf, self.text = tf, text
        return {"tensorflow": tf.__version__, "tensorflow_text": text.__version__}

    def prepare_tokenise(self):
        with open(self.job["assets"] + "/google/vocab.txt", encoding="utf-8") as file:
            vocabulary = file.read().rstrip("\n").split("\n")
        tokenizer = self.text.FastBertTokenizer(
            vocabulary, token_out_type=self.tf.int32, lower_case_nfd_strip_accents=True
        )
        start, end = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
        self.tokenise_with(
            tokenizer.tokenize,
            lambda text: tokenizer.tokenize([text])[0],
            lambda rows: [[start, *row.numpy().tolist(), end] for row in rows],
        )


if __name__ == "__main__":
    serve(TensorFlowText())
