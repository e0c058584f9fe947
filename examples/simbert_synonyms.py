r"""Writes questions that mean the same, with a SimBERT: sampled, then ranked by similarity.

    python examples/simbert_synonyms.py --checkpoint chinese_simbert_L-12_H-768_A-12.zip \
        --text "怎么开通微信支付" --text "苹果手机怎么截图"

A published SimBERT, or the simbert.zip that simbert_train.py saves. With --scratch a small one is
trained first (simbert_train.py, on LCQMC).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("KERASBERT_VERBOSE", "0")  # TensorFlow's log messages
import kerasbert  # noqa: F401 (before TensorFlow, which it imports quietly)

# isort: split
from tensorflow import keras

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for where this is not the main script
import simbert_train

from kerasbert.generation import generate

TEXTS = ("微信怎么转账给别人", "苹果手机怎么截图", "减肥期间可以吃什么水果")


def synonyms(
    model, tokenizer, text: str, samples: int = 100, top_p: float = 0.95, seed: int | None = None
) -> list[tuple[float, str]]:
    """Samples other wordings of a text and ranks them.

    Args:
        model: of two outputs, pooled vectors and scores of the next token.
        tokenizer: its tokenizer.
        text: what to say in other words.
        samples: how many to draw; what is drawn twice, or is the text itself, is left out.
        top_p: draw from the most probable tokens that have this probability together.
        seed: makes every run the same.

    Returns:
        (cosine similarity to the text, wording), the most similar first.
    """
    drawn = generate(
        model,
        tokenizer,
        text,
        max_new_tokens=32,
        do_sample=True,
        top_p=top_p,
        num_return_sequences=samples,
        seed=seed,
    )
    known = text.lower().replace(" ", "")
    drawn = [other for other in dict.fromkeys(drawn) if other and other.replace(" ", "") != known]
    if not drawn:
        return []
    vectors = simbert_train.sentence_vectors(model, tokenizer, [text, *drawn])
    similarities = (vectors[1:] @ vectors[0]).tolist()
    return sorted(zip(similarities, drawn), reverse=True)


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", help="a SimBERT: an archive, a folder or a prefix")
    add("--text", action="append", help="what to say in other words; may be repeated")
    add("--samples", type=int, default=100, help="how many to draw for each text")
    add("--top-p", type=float, default=0.95)
    add("--show", type=int, default=10, help="how many to print")
    add("--seed", type=int, default=1)
    add("--scratch", action="store_true", help="train a small one first; needs --data")
    add("--data", help="with --scratch: folder with LCQMC's train.tsv")
    add("--epochs", type=int, default=3, help="with --scratch")
    add("--output", type=Path, default=Path("simbert"), help="with --scratch: folder for it")
    add("--limit", type=int, help="with --scratch: use only the first so many groups")
    arguments = parser.parse_args(argv)
    if arguments.scratch and not arguments.data:
        parser.error("--scratch needs --data")
    if not (arguments.checkpoint or arguments.scratch):
        parser.error("give --checkpoint, or --scratch to train a small one first")
    return arguments


def main(argv=None) -> dict[str, list[tuple[float, str]]]:
    """Prints the wordings of each text; returns them."""
    arguments = parse(argv)
    keras.utils.set_random_seed(arguments.seed)
    checkpoint = arguments.checkpoint
    if arguments.scratch:
        training = ["--scratch", "--data", arguments.data, "--output", str(arguments.output)]
        training += ["--epochs", str(arguments.epochs), "--learning-rate", "1e-3"]
        training += ["--limit", str(arguments.limit)] if arguments.limit else []
        training += ["--checkpoint", checkpoint] if checkpoint else []
        simbert_train.main(training)
        checkpoint = arguments.output / "simbert.zip"
    tokenizer, model = simbert_train.load(checkpoint)
    results = {}
    for text in arguments.text or TEXTS:
        options = (arguments.samples, arguments.top_p, arguments.seed)
        results[text] = synonyms(model, tokenizer, text, *options)
        print(f"\n{text}")
        for similarity, other in results[text][: arguments.show]:
            print(f"  {similarity:.3f}  {other}")
    return results


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
