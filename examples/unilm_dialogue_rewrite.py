r"""Trains a UniLM model to rewrite what is said last in a dialogue so that it can stand alone.

    python examples/unilm_dialogue_rewrite.py --checkpoint chinese_L-12_H-768_A-12.zip \
        --data dialogue_rewrite --text "你喜欢周杰伦吗。喜欢啊。他最近出新歌了吗。"

What was left out or referred to with a pronoun is put back in: "他最近出新歌了吗" becomes
"周杰伦最近出新歌了吗". The data folder holds train.tsv and dev.tsv: the rewritten sentence, a tab,
and the dialogue, its sentences ended by "。". Training and measuring are those of
unilm_title_generation.py; the test data is dev.tsv, and the last twentieth of train.tsv says when
to stop.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for where this is not the main script
import unilm_title_generation as seq2seq


def last_sentence(dialogue: str) -> str:
    """What is to be rewritten."""
    return dialogue.rstrip("。").rpartition("。")[2]


def main(argv=None) -> dict[str, dict[str, float]]:
    """Runs the whole example; returns the measures on the test data."""
    arguments = seq2seq.parse(argv, __doc__, source=96, target=40)
    sources, targets = seq2seq.read_examples(arguments.data, "train", arguments.limit)
    held = max(1, len(sources) // 20)
    splits = {
        "train": (sources[:-held], targets[:-held]),
        "dev": (sources[-held:], targets[-held:]),
        "test": seq2seq.read_examples(arguments.data, "dev", arguments.limit),
    }
    # What it takes to be better than: the sentence as it was said.
    as_said = [last_sentence(dialogue) for dialogue in splits["test"][0]]
    return seq2seq.run(arguments, splits, {"as it was said": as_said})


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
