"""ROUGE and BLEU of generated texts, by the libraries of their fields (``kerasbert[metrics]``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def characters(text: str) -> list[str]:
    """The characters of a text in lower case, without white space: the units for Chinese."""
    return [char for char in text.lower() if not char.isspace()]


def text_metrics(
    predictions: Sequence[str],
    references: Sequence[str],
    tokenize: Callable[[str], list[str]] = characters,
) -> dict[str, float]:
    """Compares generated texts with what was expected.

    ROUGE is the mean F1 over the texts (rouge-score, Google's implementation); BLEU is that of the
    corpus, up to 4-grams, without smoothing of orders that occur (sacrebleu).

    Args:
        predictions: generated texts; may be empty.
        references: one expected text for each.
        tokenize: cuts a text into units: characters for Chinese, ``str.split`` for words.

    Returns:
        "rouge-1", "rouge-2", "rouge-l" and "bleu", each from 0 to 100.

    Raises:
        ImportError: rouge-score or sacrebleu is not installed.
        ValueError: no texts, or other numbers of them.
    """
    if isinstance(predictions, str) or isinstance(references, str):
        raise ValueError("predictions and references must be lists of texts, not one text.")
    if len(predictions) != len(references) or not len(references):
        raise ValueError(
            f"got {len(predictions)} predictions for {len(references)} references: give one for "
            "each, and at least one."
        )
    try:
        import sacrebleu
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError(
            "ROUGE and BLEU need rouge-score and sacrebleu: run `pip install 'kerasbert[metrics]'`."
        ) from error

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Tokenizer(tokenize))
    rows = [scorer.score(reference, text) for reference, text in zip(references, predictions)]
    metrics = {
        name: 100 * sum(row[key].fmeasure for row in rows) / len(rows)
        for name, key in (("rouge-1", "rouge1"), ("rouge-2", "rouge2"), ("rouge-l", "rougeL"))
    }
    spaced = [[" ".join(tokenize(text)) for text in texts] for texts in (predictions, references)]
    metrics["bleu"] = sacrebleu.corpus_bleu(
        spaced[0], [spaced[1]], tokenize="none", force=True
    ).score
    return metrics


class _Tokenizer:
    """What rouge-score asks for."""

    def __init__(self, function: Callable[[str], list[str]]):
        self.tokenize = function
