"""transformers' side of the pretraining rows.

``masking`` is ``DataCollatorForLanguageModeling`` on examples as ``datasets`` gives them: lists of
ids with their mask of special tokens and, for whole words, with offsets. It returns numpy arrays,
its faster form; modes: ``pt`` returns tensors, as a Trainer has it; ``workers`` does so in a
DataLoader with as many processes as there are threads; ``function`` is the collator's
``torch_mask_tokens`` alone, on tensors that are collated before anything is timed.
``pretrain_step`` is ``BertForMaskedLM``, which scores the vocabulary at every position; in the mode
``gathered`` its encoder and its head are called one by one, with the chosen positions between them.
"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.sides.masks import mask_shares
from benchmarks.sides.protocol import CHECKED


class Pretraining:
    """The pretraining rows, for the side that has ``torch``, ``transformers`` and so on."""

    def prepare_masking(self):
        arrays, size = self.read_inputs(), self.job["sizes"]["batch"]
        words = self.job["variant"].startswith("whole_word")
        mode = self.job["mode"]
        collate = self.transformers.DataCollatorForLanguageModeling(
            self.transformers.BertTokenizer.from_pretrained(self.folder),
            whole_word_mask=words,
            return_tensors="pt" if mode else "np",
        )
        columns = example_columns(arrays, words)
        starts = range(0, len(arrays["token_ids"]), size)
        if mode == "function":
            tensors = {name: self.torch.from_numpy(array) for name, array in columns.items()}
            ids, others = tensors.pop("input_ids"), tensors

            def batches():
                for at in starts:
                    rows = {name: tensor[at : at + size] for name, tensor in others.items()}
                    found = collate.torch_mask_tokens(ids[at : at + size].clone(), **rows)
                    yield dict(zip(("input_ids", "labels"), found))
        else:
            rows = zip(*(array.tolist() for array in columns.values()))
            examples = [dict(zip(columns, row)) for row in rows]
            if mode == "workers":
                loader = self.torch.utils.data.DataLoader(
                    examples,
                    batch_size=size,
                    collate_fn=collate,
                    num_workers=self.threads,
                    persistent_workers=True,
                )
                batches = loader.__iter__
            else:

                def batches():
                    return (collate(examples[at : at + size]) for at in starts)

        def work():
            for _ in batches():
                pass

        def result():
            found = list(batches())
            ids, labels = (
                np.concatenate([np.asarray(batch[name]) for batch in found])
                for name in ("input_ids", "labels")
            )
            return mask_shares(arrays, ids, labels, words)

        self.work, self.result = work, result

    def prepare_pretrain_step(self):
        """Gradients, clipping at 1 and AdamW without decay of biases, as the Trainer does it."""
        torch = self.torch
        model = self.transformers.BertForMaskedLM.from_pretrained(
            self.folder,
            dtype=torch.float32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ).train()
        decayed = [value for value in model.parameters() if value.ndim > 1]
        others = [value for value in model.parameters() if value.ndim == 1]
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.01, eps=1e-8, fused=True)
        loss_of = self.gathered_loss if self.job["mode"] == "gathered" else self.masked_loss
        arrays = self.read_inputs()
        names = ("token_ids", "positions", "labels")
        batches = itertools.cycle(list(zip(*(arrays[name].astype(np.int64) for name in names))))

        def step():
            with self.autocast():
                loss = loss_of(model, *next(batches))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        self.work = step
        self.result = lambda: {"losses": np.array([step() for _ in range(CHECKED)])}
        return {"attention": model.config._attn_implementation}

    def model_inputs(self, ids):
        """The inputs of a batch without padding."""
        arrays = {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": 0 * ids + 1}
        return {name: self.torch.from_numpy(array) for name, array in arrays.items()}

    def masked_loss(self, model, ids, positions, labels):
        """The library's own loss, from -100 at all other positions."""
        wanted = np.full_like(ids, -100)
        np.put_along_axis(wanted, positions, labels, axis=1)
        return model(**self.model_inputs(ids), labels=self.torch.from_numpy(wanted)).loss

    def gathered_loss(self, model, ids, positions, labels):
        """The head at the chosen positions only."""
        torch = self.torch
        hidden = model.bert(**self.model_inputs(ids)).last_hidden_state
        places = torch.from_numpy(positions + ids.shape[1] * np.arange(len(ids))[:, None])
        logits = model.cls(hidden.flatten(0, 1)[places.flatten()])
        return torch.nn.functional.cross_entropy(logits.float(), torch.from_numpy(labels).flatten())


def example_columns(arrays, words):
    """The collator's columns, int64: ids, special tokens and, for whole words, offsets.

    The collator takes tokens whose offsets adjoin as one word. In a Chinese text all do, so that
    its sentences would be its words; here the offsets are those of a text with a space between the
    words, as one gets them who has cut it and joined it with spaces.
    """
    ids = arrays["token_ids"].astype(np.int64)
    cls, sep = arrays["special_ids"][2:4].tolist()
    special = (ids == cls) | (ids == sep)
    columns = {"input_ids": ids, "special_tokens_mask": special.astype(np.int64)}
    if words:
        begins = np.arange(ids.shape[1]) + np.cumsum(arrays["word_starts"], axis=1)
        offsets = np.stack([begins, begins + 1], axis=-1)
        offsets[special] = 0
        columns["offset_mapping"] = offsets
    return columns
