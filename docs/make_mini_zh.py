"""Makes ``kerasbert-mini-zh``: vocabulary, corpora, language model, masks, SimBERT stage, archive.

    python docs/make_mini_zh.py --texts pretrain_zh --output mini

The same command goes on after an interruption; all of it takes about two hours on one core. The
texts are those that may be used freely: novels whose authors' rights have ended, laws, classical
poems, and the Rust book (MIT / Apache-2.0).

So small a model begins with next tokens, each of which is predicted, and goes on with masks. With
masks alone it stood at an accuracy of 17 % after 10 million tokens; by next tokens it was there
after 1.5 million.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

TEXTS = ("books_zh_hans", "law_zh_hans", "law_zh_hant", "poems_zh_hant", "rustbook_zh_hant")
SENTENCES = ("books_zh_hans", "law_zh_hans", "law_zh_hant")  # prose
TOKENS = 8000
CONFIG = {
    "embedding_size": 128,
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "initializer_range": 0.06,  # with 0.02 the loss is 6.37 instead of 6.16 after 350 steps
    "hidden_dropout_prob": 0.0,  # each text is seen about once: nothing to learn by heart
    "attention_probs_dropout_prob": 0.0,
}
NEXT = {
    "objective": "lm",
    "steps": 3_000,  # 6 million tokens
    "batch_size": 16,
    "learning_rate": 1e-3,
    "warmup": 300,
    "evaluate_every": 400,
    "evaluation_steps": 60,
    "log_every": 50,
    "save_every": 250,
}
MASKED = {
    **NEXT,
    "objective": "roberta",
    "masking": '{"masked_lm_prob": 0.25, "max_predictions": 32}',
    "steps": 3_000,  # 6 million tokens
}
SIMILAR = {
    "objective": "simbert",
    "objective_options": '{"max_predictions": 16}',
    "model_options": '{"strict": false}',  # there is no pooler yet
    "steps": 120,
    "batch_size": 64,
    "learning_rate": 3e-4,
    "warmup": 20,
    "log_every": 20,
    "save_every": 60,
}
TUNING = {  # what a fine-tuning shall begin with
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}


def split(texts: Path, output: Path) -> None:
    """Holds out the last hundredth of every text's documents."""
    for name in TEXTS:
        documents = (texts / f"{name}.txt").read_text(encoding="utf-8").split("\n\n")
        documents = [document for document in documents if document.strip()]
        held_out = max(1, len(documents) // 100)
        for folder, part in (("texts", documents[:-held_out]), ("held_out", documents[-held_out:])):
            (output / folder).mkdir(parents=True, exist_ok=True)
            path = output / folder / f"{name}.txt"
            path.write_text("\n\n".join(part) + "\n", encoding="utf-8")


def command(module: str, *arguments, **options) -> None:
    """Runs ``python -m pretraining.MODULE``.

    Raises:
        SystemExit: with the exit code of a command that failed or was interrupted.
    """
    words = [sys.executable, "-m", f"pretraining.{module}", *map(str, arguments)]
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    print("$", " ".join(words[1:]), flush=True)
    code = subprocess.run(words, cwd=Path(__file__).resolve().parents[1]).returncode
    if code:
        sys.exit(code)


def pack(checkpoint: Path, target: Path) -> None:
    """Writes the archive, weights rounded to bfloat16: half of their bytes are then zero."""
    from kerasbert import Tokenizer, build_transformer_model, save_weights_as_checkpoint
    from kerasbert.backend import tf

    model = build_transformer_model(checkpoint, with_pool="linear", with_mlm="linear")
    for variable in model.weights:
        rounded = tf.cast(tf.cast(tf.convert_to_tensor(variable), tf.bfloat16), tf.float32)
        variable.assign(rounded)
    config = json.loads((checkpoint / "bert_config.json").read_text(encoding="utf-8"))
    save_weights_as_checkpoint(
        model, target, vocab=Tokenizer.from_pretrained(checkpoint), config={**config, **TUNING}
    )
    parameters = sum(int(np.prod(variable.shape)) for variable in model.weights)
    print(f"{target}: {parameters:,} parameters, {target.stat().st_size:,} bytes")


def plot(output: Path, target: Path) -> None:
    """Draws the losses of the stages over the tokens that were seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4))
    seen = 0.0
    for folder, loss, label in (
        ("next", "lm_loss", "next tokens"),
        ("masked", "mlm_loss", "whole words behind masks"),
    ):
        millions = NEXT["batch_size"] * 128 / 1e6
        for file, style in (("log", "-"), ("evaluation", "o")):
            rows = np.genfromtxt(output / folder / f"{file}.csv", delimiter=",", names=True)
            name = label if file == "log" else f"{label}, held out"
            axis.plot(seen + rows["step"] * millions, rows[loss], style, label=name)
        seen += rows["step"][-1] * millions
    axis.set(xlabel="tokens seen (millions)", ylabel="loss (nats)", ylim=(4, 9))
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(target, dpi=110, bbox_inches="tight")


def main(argv=None) -> None:
    """Takes all steps that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=Path, required=True, help="folder of the texts")
    parser.add_argument("--output", type=Path, required=True, help="folder for all that is made")
    arguments = parser.parse_args(argv)
    output = arguments.output.resolve()
    if not (output / "held_out").exists():
        split(arguments.texts, output)
    vocabulary = output / "vocab.txt"
    if not vocabulary.exists():
        texts = [arguments.texts.resolve() / f"{name}.txt" for name in TEXTS]
        command("vocabulary", input=texts, output=vocabulary, size=TOKENS)
    for name, folder, shards in (("corpus", "texts", 16), ("held_out_corpus", "held_out", 4)):
        command("corpus", input=f"{output / folder}/*.txt", vocab=vocabulary, output=output / name,
                style="roberta", max_length=128, segmenter="rjieba", shards=shards)  # fmt: skip
    tokens = vocabulary.read_text(encoding="utf-8").count("\n")
    config = json.dumps({**CONFIG, "vocab_size": tokens}, indent=2)
    (output / "config.json").write_text(config + "\n", encoding="utf-8")
    for name, start, settings in (
        ("next", {"config": output / "config.json"}, NEXT),
        ("masked", {"checkpoint": output / "next" / "export"}, MASKED),
    ):
        command("run", corpus=output / "corpus", evaluation=output / "held_out_corpus",
                output=output / name, **start, **settings)  # fmt: skip
    groups = output / "groups.jsonl"
    if not groups.exists():
        texts = [arguments.texts.resolve() / f"{name}.txt" for name in SENTENCES]
        command("pairs", input=texts, output=groups, groups=150_000)
    command("corpus", input=groups, vocab=vocabulary, style="simbert", output=output / "pairs",
            max_length=64, segmenter="none", shards=8)  # fmt: skip
    command("run", corpus=output / "pairs", checkpoint=output / "masked" / "export",
            output=output / "similar", **SIMILAR)  # fmt: skip
    pack(output / "similar" / "export", output / "kerasbert-mini-zh.zip")
    plot(output, output / "kerasbert_mini_zh.png")


if __name__ == "__main__":
    main()
