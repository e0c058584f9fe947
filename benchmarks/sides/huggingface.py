"""The transformers side: PyTorch, eval and inference_mode, SDPA attention (the library's default).

Modes: ``tokenizers`` and ``sentencepiece`` (rows that tokenise) call the library of that name
without transformers around it, and ``pieces`` the latter without what XLM-R's ids take besides;
``group_by_length`` (row finetune_epoch) uses the Trainer's length-grouped sampler, where the
default shuffles. Both pad every batch to its own longest row. bfloat16 means bfloat16 weights in
``forward`` and autocast over float32 weights in training, as the Trainer's ``bf16=True`` does.
"""

from __future__ import annotations

import numpy as np

from benchmarks.sides.huggingface_pretraining import Pretraining
from benchmarks.sides.protocol import FEW, Side, serve


class HuggingFace(Pretraining, Side):
    """Runs every row with transformers."""

    def imports(self):
        import tokenizers
        import torch
        import transformers

        transformers.BertModel  # noqa: B018  (this is when transformers imports its parts)
        torch.set_num_threads(self.threads)
        transformers.logging.set_verbosity_error()  # the missing head of a classifier is set below
        self.torch, self.transformers = torch, transformers
        return {module.__name__: module.__version__ for module in (torch, transformers, tokenizers)}

    @property
    def folder(self):
        """Where the checkpoint is."""
        variant = self.job["variant"] if self.job["row"] == "load_formats" else "safetensors"
        folder = {"safetensors": "huggingface"}.get(variant, variant)
        return f"{self.job['assets']}/{folder}"

    @property
    def half(self):
        """Whether the job is bfloat16."""
        return self.job["dtype"] == "bfloat16"

    def prepare_load(self):
        return self.prepare_forward()

    def prepare_load_formats(self):
        return self.prepare_forward()

    def prepare_forward(self):
        torch = self.torch
        model = self.transformers.BertModel.from_pretrained(
            self.folder, dtype=torch.bfloat16 if self.half else torch.float32
        ).eval()
        batch = self.tensors(self.read_inputs())

        def forward():
            with torch.inference_mode():
                return model(**batch).last_hidden_state.float().numpy()

        self.work = forward
        self.result = lambda: {"hidden": forward()}
        return {"attention": model.config._attn_implementation}

    def tensors(self, arrays):
        """The model's inputs from the harness's arrays."""
        ids = arrays["token_ids"].astype(np.int64)
        inputs = {
            "input_ids": ids,
            "token_type_ids": arrays["segment_ids"].astype(np.int64),
            "attention_mask": (ids > 0).astype(np.int64),
        }
        if "labels" in arrays:
            inputs["labels"] = arrays["labels"].astype(np.int64)
        return {name: self.torch.from_numpy(array) for name, array in inputs.items()}

    def prepare_classifier(self):
        """Sets the model and the optimizer that is the Trainer's default."""
        torch = self.torch
        self.model = self.transformers.BertForSequenceClassification.from_pretrained(
            self.folder, num_labels=2, dtype=torch.float32
        )
        kernel, bias = self.read_head()
        with torch.no_grad():
            self.model.classifier.weight.copy_(torch.from_numpy(kernel.T.copy()))
            self.model.classifier.bias.copy_(torch.from_numpy(bias))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=2e-5, weight_decay=0.01, fused=True
        )

    def autocast(self):
        """Mixed precision when the job is bfloat16."""
        return self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.half)

    def step(self, batch):
        """One training step; returns its loss."""
        with self.autocast():
            loss = self.model(**batch).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def logits(self, batch):
        """The classifier's logits, without dropout."""
        self.model.eval()
        with self.torch.inference_mode(), self.autocast():
            logits = self.model(**batch).logits.float().numpy()
        self.model.train()
        return {"logits": logits}

    def prepare_train_step(self):
        self.prepare_classifier()
        self.model.train()
        batch = self.tensors(self.read_inputs())
        self.work = lambda: self.step(batch)
        self.result = lambda: self.logits(batch)

    def prepare_finetune_epoch(self):
        self.prepare_classifier()
        self.model.train()
        self.tokenizer = self.transformers.BertTokenizer.from_pretrained(self.folder)
        self.collate = self.transformers.DataCollatorWithPadding(self.tokenizer)
        self.pairs = self.read_inputs()
        self.batch_size = self.job["sizes"]["batch"]
        examples = self.examples()
        self.work = self.epoch
        self.result = lambda: self.logits(self.collate(examples[: self.batch_size]))
        longest = max(len(example["input_ids"]) for example in examples)
        return {"padding": "longest of each batch", "longest": longest}

    def examples(self):
        """The pairs as the collator wants them."""
        firsts, seconds, labels = (list(column) for column in zip(*self.pairs))
        encoded = self.tokenizer(firsts, seconds, truncation=True, max_length=512)
        rows = zip(*encoded.values())
        return [{**dict(zip(encoded, row)), "labels": label} for row, label in zip(rows, labels)]

    def epoch(self):
        """One epoch from the texts on: tokenise, shuffle, pad, step; returns the mean loss."""
        examples = self.examples()
        sampler = None
        if self.job["mode"] == "group_by_length":
            from transformers.trainer_pt_utils import LengthGroupedSampler

            lengths = [len(example["input_ids"]) for example in examples]
            sampler = LengthGroupedSampler(self.batch_size, lengths=lengths)
        loader = self.torch.utils.data.DataLoader(
            examples,
            batch_size=self.batch_size,
            shuffle=sampler is None,
            sampler=sampler,
            collate_fn=self.collate,
        )
        return float(np.mean([self.step(batch) for batch in loader]))

    def prepare_encode(self):
        """sentence-transformers with its own defaults: sorted by length, 32 at a time."""
        import sentence_transformers
        from sentence_transformers import SentenceTransformer, models

        dtype = self.torch.bfloat16 if self.half else self.torch.float32
        body = models.Transformer(self.folder, max_seq_length=512, model_args={"dtype": dtype})
        width = body.get_word_embedding_dimension()
        parts = [body, models.Pooling(width, "mean"), models.Normalize()]
        encoder = SentenceTransformer(modules=parts, device="cpu")
        questions = self.read_inputs()
        options = {"show_progress_bar": False, "convert_to_numpy": True}
        self.work = lambda: encoder.encode(questions, **options)
        self.result = lambda: {
            "vectors": encoder.encode(questions[:FEW], **options).astype(np.float32)
        }
        return {"sentence_transformers": sentence_transformers.__version__}

    def prepare_generate(self):
        """The mode is the dtype of the weights."""
        torch, sizes = self.torch, self.job["sizes"]
        config = self.transformers.BertConfig.from_pretrained(self.folder)
        config.is_decoder = True
        model = self.transformers.BertLMHeadModel.from_pretrained(
            self.folder, config=config, dtype=getattr(torch, self.job["mode"] or "float32")
        ).eval()
        model.resize_token_embeddings(sizes["vocabulary"])
        prompts = torch.tensor(self.read_inputs())
        count = sizes["new_tokens"]
        options = {
            "attention_mask": torch.ones_like(prompts),
            "max_new_tokens": count,
            "min_new_tokens": count,
            "num_beams": 3 if "beam3" in self.job["variant"] else 1,
            "length_penalty": 0.0,
            "do_sample": False,
            "eos_token_id": 102,
            "pad_token_id": 0,
        }

        def generate():
            with torch.inference_mode():
                return model.generate(prompts, **options)[:, prompts.shape[1] :].tolist()

        self.work = generate
        self.result = lambda: {"rows": generate()}
        return {"attention": model.config._attn_implementation}

    def prepare_tokenise(self):
        self.tokenise(self.transformers.BertTokenizer.from_pretrained(self.folder))

    def prepare_tokenise_bpe(self):
        folder = self.job["assets"] + "/roberta"
        self.tokenise(self.transformers.RobertaTokenizer.from_pretrained(folder))

    def prepare_tokenise_sentencepiece(self):
        folder = self.job["assets"] + "/xlmr"
        if not self.job["mode"]:
            self.tokenise(self.transformers.XLMRobertaTokenizer.from_pretrained(folder))
            return
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_file=folder + "/sentencepiece.bpe.model")

        def as_fairseq(rows):
            return [[0, *[at + 1 if at else 3 for at in row], 2] for row in rows]

        if self.job["mode"] == "pieces":
            self.tokenise_with(
                lambda texts: model.encode(texts, num_threads=self.threads),
                model.encode,
                as_fairseq,
            )
        else:
            self.tokenise_with(
                lambda texts: as_fairseq(model.encode(texts, num_threads=self.threads)),
                lambda text: [0, *[at + 1 if at else 3 for at in model.encode(text)], 2],
            )

    def tokenise(self, tokenizer):
        """Tokenises with transformers, or with the Rust library within it."""
        tokenizer.model_max_length = 10**9  # no warning about texts that no model could take
        rust = tokenizer.backend_tokenizer
        if self.job["mode"] == "tokenizers":
            self.tokenise_with(
                lambda texts: [encoding.ids for encoding in rust.encode_batch_fast(texts)],
                lambda text: rust.encode(text).ids,
            )
        else:
            self.tokenise_with(
                lambda texts: tokenizer(texts)["input_ids"],
                lambda text: tokenizer(text)["input_ids"],
            )


if __name__ == "__main__":
    serve(HuggingFace())
