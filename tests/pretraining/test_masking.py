"""Masking: every rule for any batch, and the published programs' statistics."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer
from pretraining.masking import REPLACED, MaskingConfig, mask_tokens
from pretraining.synonyms import synonym_table
from pretraining.word_selection import choose_words, draw_units

CLS, SEP, MASK, LOW, HIGH = 101, 102, 103, 106, 1000
MODES = list(REPLACED)
LENGTH = 40


def config(mode="whole_word", **changes):
    return MaskingConfig(mask_id=MASK, random_ids=(LOW, HIGH), **{"mode": mode, **changes})


def batch(rows=8, length=LENGTH, starts=0.6, seed=0):
    """Two segments in each row, of different lengths: [CLS] ... [SEP] ... [SEP] and padding."""
    random = np.random.RandomState(seed)
    token_ids = random.randint(LOW, HIGH, (rows, length)).astype(np.int32)
    for row in token_ids:
        end = random.randint(3, length)
        row[end + 1 :] = 0
        row[[0, random.randint(1, end), end]] = CLS, SEP, SEP
    return token_ids, random.rand(rows, length) < starts, token_ids >= LOW


def sentences(rows, words_of, tokens):
    """Rows of one segment in which all words have ``words_of`` tokens."""
    token_ids = np.random.RandomState(1).randint(LOW, HIGH, (rows, tokens)).astype(np.int32)
    starts = np.tile(np.arange(tokens) % words_of == 0, (rows, 1))
    return token_ids, starts, np.ones_like(starts)


def mask(data, settings, seed=(1, 2), **options):
    result = mask_tokens(*data, tf.constant(seed), settings, **options)
    return type(result)(*(x.numpy() for x in result))


def chosen_tokens(result):
    chosen = np.zeros(result.token_ids.shape, bool)
    rows, columns = np.nonzero(result.weights)
    chosen[rows, result.positions[rows, columns]] = True
    return chosen


def words_of_row(starts, candidates):
    """Lists of positions, written without any cleverness."""
    words, before = [], False
    for at, (start, candidate) in enumerate(zip(starts, candidates)):
        if candidate and (start or not before):
            words.append([])
        if candidate:
            words[-1].append(at)
        before = candidate
    return words


batches = st.builds(
    batch,
    rows=st.just(4),
    length=st.sampled_from([16, LENGTH]),  # few shapes: TensorFlow prepares each anew
    starts=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    seed=st.integers(0, 2**31),
)
seeds_of_masks = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**31 - 1))
configs = st.builds(
    config,
    mode=st.sampled_from(MODES),
    masked_lm_prob=st.sampled_from([0.01, 0.15, 0.5, 1.0]),
    max_predictions=st.sampled_from([1, 7, 20, 64]),
    replace_by=st.sampled_from([None, "token", "word", "unit"]),
)


@given(batches, seeds_of_masks, configs)
@settings(max_examples=60)
def test_what_holds_for_every_batch(data, seed, settings):
    token_ids, starts, candidates = data
    result = mask(data, settings, seed)
    chosen = chosen_tokens(result)
    counts = chosen.sum(1)

    width = (len(token_ids), settings.max_predictions)
    assert result.positions.shape == result.labels.shape == result.weights.shape == width
    assert [x.dtype for x in result] == [np.int32, np.int32, np.int32, np.float32]
    # predictions stand first and in order, each once; zeros follow
    np.testing.assert_array_equal(result.weights, np.arange(width[1]) < counts[:, None])
    for row in range(len(token_ids)):
        np.testing.assert_array_equal(
            result.positions[row, : counts[row]], *np.nonzero(chosen[row])
        )
    originals = np.take_along_axis(token_ids, result.positions, 1)
    np.testing.assert_array_equal(result.labels, originals * result.weights.astype(int))
    assert not (result.positions * (result.weights == 0)).any()

    assert not (chosen & ~candidates).any()
    np.testing.assert_array_equal(result.token_ids[~chosen], token_ids[~chosen])
    ordinary = (result.token_ids >= LOW) & (result.token_ids < HIGH)
    assert (ordinary | (result.token_ids == MASK))[chosen].all()

    if settings.mode == "plain":
        starts = candidates
    for row in range(len(token_ids)):
        budget = settings.budget(candidates[row].sum())
        assert counts[row] <= min(budget, settings.max_predictions)
        for word in words_of_row(starts[row], candidates[row]):
            taken = chosen[row, word]
            assert taken.all() or not taken.any()
            if not taken.any():  # only because it did not fit any more
                assert len(word) > budget - counts[row]


@pytest.mark.parametrize("mode", MODES)
def test_the_seed_decides(mode):
    data = batch(32)
    first, again, other = (mask(data, config(mode), seed) for seed in ((1, 2), (1, 2), (1, 3)))
    for x, y in zip(first, again):
        np.testing.assert_array_equal(x, y)
    assert not np.array_equal(chosen_tokens(first), chosen_tokens(other))
    assert not np.array_equal(first.token_ids, other.token_ids)


def test_rows_are_masked_independently():
    data = tuple(np.repeat(x[:1], 50, 0) for x in batch(1, seed=4))
    assert len({row.tobytes() for row in chosen_tokens(mask(data, config()))}) > 10


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.slow
def test_compiled_and_in_tf_data_the_masks_are_the_same(mode):
    data = batch(16)
    table = synonym_table({(n, n + 1): [(n + 2, n + 3)] for n in range(LOW, HIGH)})
    options = {} if mode == "plain" else {"synonyms": table}
    settings = config(mode) if mode == "plain" else config(mode, replace_by="word")
    wanted = mask(data, settings, (7, 8), **options)

    def step(seed, *data):
        return mask_tokens(*data, seed, settings, **options)

    compiled = tf.function(step, jit_compile=True)(tf.constant((7, 8)), *data)
    dataset = tf.data.Dataset.from_tensors((tf.constant((7, 8)), *data)).map(step)
    for result in (compiled, next(iter(dataset))):
        for x, y in zip(wanted, result):
            np.testing.assert_array_equal(x, y)


def test_the_size_of_the_batch_may_be_unknown():
    dataset = tf.data.Dataset.from_tensor_slices(batch(5)).batch(2)
    dataset = dataset.map(lambda *data: mask_tokens(*data, tf.constant((1, 2)), config()))
    assert [len(result.token_ids) for result in dataset] == [2, 2, 1]
    assert dataset.element_spec.positions.shape[1] == 20


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=9, max_size=9), min_size=3, max_size=3),
    st.lists(st.integers(0, 30), min_size=3, max_size=3),
    st.integers(0, 99),
    st.integers(1, 9),
)
def test_the_rounds_take_what_one_word_after_the_other_would(sizes, budgets, seed, few):
    keys = np.random.RandomState(seed).randint(0, 10, (3, 9)).astype(np.int32)  # with ties
    keys *= 2  # the lowest bit does not count
    wanted = np.zeros((3, 9), bool)
    for row, left in enumerate(budgets):
        for at in np.argsort(-keys[row], kind="stable"):
            if 0 < sizes[row][at] <= left:
                wanted[row, at] = True
                left -= sizes[row][at]
    chosen = choose_words(tf.constant(sizes), tf.constant(keys), tf.constant(budgets), few)
    np.testing.assert_array_equal(chosen, wanted)


# ------------------------------------------------------------------ the statistics of each mode


def shares(values):
    return np.bincount(values) / len(values)


@pytest.mark.parametrize("mode", MODES)
def test_every_word_has_the_same_chance(mode):
    token_ids, starts, candidates = sentences(8000, 2, 42)
    candidates[:, 12:14] = False  # a [SEP] or two
    data = token_ids, starts, candidates
    rates = chosen_tokens(mask(data, config(mode, masked_lm_prob=0.2))).mean(0)
    assert not rates[12:14].any()
    np.testing.assert_allclose(rates[candidates[0]], 0.2, atol=0.02)  # 4.5 deviations


@pytest.mark.parametrize("replace_by", ["token", "word", "unit"])
def test_80_10_10(replace_by):
    data = sentences(3000, 3, 60)
    result = mask(data, config("span", replace_by=replace_by, masked_lm_prob=0.3))
    chosen = chosen_tokens(result)
    masked = (result.token_ids == MASK)[chosen]
    kept = (result.token_ids == data[0])[chosen]
    tolerance = {"token": 0.007, "word": 0.012, "unit": 0.025}[replace_by]
    assert abs(masked.mean() - 0.8) < tolerance
    assert abs(kept.mean() - 0.1) < tolerance
    per_word = masked.reshape(-1, 3).mean(1)
    mixed = ((per_word > 0) & (per_word < 1)).mean()
    assert abs(mixed - (1 - 0.8**3 - 0.2**3 if replace_by == "token" else 0)) < 0.012
    random = result.token_ids[chosen][~masked & ~kept]
    assert random.min() < LOW + 10 and random.max() > HIGH - 10
    assert abs(random.mean() - (LOW + HIGH) / 2) < 15


def test_all_or_nothing_of_the_shares():
    data = sentences(50, 2, 40)
    assert (mask(data, config(mask_share=1.0, random_share=0.0)).token_ids == MASK).sum() == 50 * 6
    kept = mask(data, config(mask_share=0.0, random_share=0.0))
    np.testing.assert_array_equal(kept.token_ids, data[0])
    assert kept.weights.sum() == 50 * 6


UNIT_SHARES = {
    "ngram": [0.4, 0.3, 0.2, 0.1],
    "span": 0.2 * 0.8 ** np.arange(10) / (1 - 0.8**10),  # mean 3.8, as SpanBERT says
}


@pytest.mark.parametrize("mode", UNIT_SHARES)
def test_the_sizes_of_ngrams_and_spans(mode):
    fractions = tf.constant(np.random.RandomState(5).rand(20_000, 11), tf.float32)
    units = draw_units(fractions, config(mode).unit_shares()).numpy()
    found = np.bincount((units == 0).sum(1), minlength=1 + len(UNIT_SHARES[mode]))[1:] / len(units)
    np.testing.assert_allclose(found, UNIT_SHARES[mode], atol=0.015)


@pytest.mark.parametrize(
    "mode, mean", [("plain", 1), ("whole_word", 2), ("ngram", 4), ("span", 7.6)]
)
def test_the_mean_length_of_masked_runs(mode, mean):
    data = sentences(40, 2, 5000)
    chosen = chosen_tokens(mask(data, config(mode, masked_lm_prob=0.05, max_predictions=300)))
    assert (chosen.sum(1) == 250).all()
    runs = (chosen & ~np.pad(chosen, [(0, 0), (1, 0)])[:, :-1]).sum()
    # one unit in 20 stands beside another one, and the last one of a row is cut short
    np.testing.assert_allclose(chosen.sum() / runs, mean / 0.95, rtol=0.05)


def test_units_are_masked_as_one():
    data = sentences(300, 2, 40)
    settings = config("span", replace_by="unit", mask_share=0.5, random_share=0.0)
    chosen = chosen_tokens(result := mask(data, settings))
    masked = result.token_ids == MASK
    inside = chosen[:, 1:] & chosen[:, :-1]
    changes = (masked[:, 1:] != masked[:, :-1])[inside].mean()
    assert 0 < changes < 0.1  # where two units meet; half of them, were it drawn for each token


def test_google_counts_special_tokens_too():
    token_ids, starts, candidates = sentences(4, 1, 20)
    candidates[:, 10:] = False
    data = token_ids, starts, candidates
    assert (mask(data, config()).weights.sum(1) == 2).all()  # 1.5, half to even
    counts = tf.constant([0, 12, 17, 20])
    assert mask(data, config(), token_counts=counts).weights.sum(1).tolist() == [1, 2, 3, 3]


# ------------------------------------------------------------------ similar words


def test_similar_words_stand_in_for_the_mask():
    token_ids, starts, candidates = sentences(400, 2, 40)
    odd = np.arange(40) % 4 >= 2  # every other word has similar ones
    token_ids[:, :] = np.where(odd, [200, 201] * 20, [300, 301] * 20)
    table = synonym_table({(200, 201): [(210, 211), (220, 221)], (200,): [(1,)], (5, 6, 7): []})
    data = token_ids, starts, candidates
    result = mask(data, config("ngram", masked_lm_prob=0.3), synonyms=table)
    chosen = chosen_tokens(result)
    assert (result.token_ids != MASK).all()
    words = result.token_ids[chosen & odd].reshape(-1, 2)
    found = [(words == word).all(1).mean() for word in ((210, 211), (220, 221), (200, 201))]
    np.testing.assert_allclose(found, [0.4, 0.4, 0.1], atol=0.05)
    others = result.token_ids[chosen & ~odd].reshape(-1, 2)
    kept = (others == (300, 301)).all(1)
    assert abs(kept.mean() - 0.1) < 0.04
    assert len(np.unique(others[~kept])) > 500  # random ones: there are no similar words


@given(
    st.dictionaries(
        st.lists(st.integers(LOW, LOW + 3), min_size=1, max_size=3).map(tuple),
        st.integers(1, 3),
        min_size=1,
        max_size=20,
    )
)
def test_every_word_finds_its_own_similar_words(choices):
    similar = {
        word: [tuple(500 + 10 * at + n for at in range(len(word))) for n in range(count)]
        for word, count in choices.items()
    }
    token_ids, starts, candidates = batch(4, 16, seed=len(similar))
    token_ids[candidates] = LOW + token_ids[candidates] % 4
    settings = config(masked_lm_prob=1.0, mask_share=1.0, random_share=0.0, replace_by="word")
    result = mask((token_ids, starts, candidates), settings, synonyms=synonym_table(similar))
    for row in range(4):
        for word in words_of_row(starts[row], candidates[row]):
            new = tuple(result.token_ids[row, word])
            old = tuple(token_ids[row, word])
            assert new in similar[old] if old in similar else min(new) >= LOW


@pytest.mark.parametrize(
    "similar, message",
    [
        ({}, "empty"),
        ({(5, 6): []}, "empty"),
        ({(5, 6): [(7,)]}, r"as many token ids as its word.*Received: \(5, 6\) with \(7,\)"),
        ({(): [()]}, "at least one"),
        ({(5,): [(-1,)]}, "none negative"),
    ],
)
def test_useless_tables_are_refused(similar, message):
    with pytest.raises(ValueError, match=message):
        synonym_table(similar)


@pytest.mark.parametrize("settings", [config("plain"), config("whole_word")])
def test_similar_words_need_whole_words(settings):
    with pytest.raises(ValueError, match=r"replace whole words.*replace_by='token'"):
        mask(batch(), settings, synonyms=synonym_table({(5,): [(6,)]}))


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mode": "words"}, "mode must be one of.*'plain'.*Received: 'words'"),
        ({"mask_id": -1}, "mask_id must be 0 or more. Received: -1"),
        ({"random_ids": (5, 5)}, "random_ids must be.*first < end"),
        ({"random_ids": (1, 2, 3)}, "random_ids must be"),
        ({"random_ids": 21128}, "random_ids must be a sequence"),
        ({"random_ids": ("a", "z")}, "random_ids takes whole numbers only"),
        ({"mask_id": "[MASK]"}, r"mask_id takes whole numbers only. Received: '\[MASK\]'"),
        ({"max_predictions": 19.2}, "max_predictions takes whole numbers only. Received: 19.2"),
        ({"masked_lm_prob": "15%"}, "masked_lm_prob takes numbers only. Received: '15%'"),
        ({"masked_lm_prob": 0}, "masked_lm_prob must be above 0"),
        ({"masked_lm_prob": 15}, "Received: 15"),
        ({"max_predictions": 0}, "max_predictions must be 1 or more"),
        ({"mask_share": 1.1}, "mask_share must be from 0 to 1"),
        ({"mask_share": 0.95}, "random_share must be from 0 to 1 - mask_share. Received: 0.1"),
        ({"replace_by": "row"}, "replace_by must be token, word or unit"),
        ({"ngram_shares": ()}, "ngram_shares must be probabilities"),
        ({"ngram_shares": (0.5, 0.4)}, "that sum to 1"),
        ({"span_p": 1.0}, "span_p must be between 0 and 1"),
        ({"span_max": 0}, "span_max must be 1 or more"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MaskingConfig(**{"mask_id": MASK, "random_ids": (LOW, HIGH), **changes})


def test_settings_read_from_a_file_are_the_same():
    settings = config("ngram")
    assert MaskingConfig(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings
    assert hash(settings)


def test_shapes_that_do_not_fit_are_refused():
    token_ids, starts, candidates = batch()
    with pytest.raises(
        ValueError, match=r"one shape \(batch, length\).*Received: \(8, 40\), \(8, 39"
    ):
        mask((token_ids, starts[:, 1:], candidates), config())
    with pytest.raises(ValueError, match="static length"):
        mask((token_ids[0], starts[0], candidates[0]), config())
    dynamic = tf.TensorSpec([8, None], tf.int32)
    step = tf.function(lambda ids: mask_tokens(ids, ids > 0, ids > 0, (1, 2), config()))
    with pytest.raises(ValueError, match="static length"):
        step.get_concrete_function(dynamic)


# ------------------------------------------------------------------ the published programs


def test_longer_words_are_chosen_less_often_as_by_googles_program():
    """The rates recorded for google_en_wwm_true, on words of the lengths of its text."""
    recorded = {1: 0.158, 2: 0.148, 3: 0.140, 4: 0.114}
    random = np.random.RandomState(8)
    sizes = random.choice([1, 2, 3, 4], (3000, 125), p=[0.913, 0.059, 0.0225, 0.0055])
    ends = sizes.cumsum(1)
    starts = np.zeros((3000, 125), bool)
    starts[:, 0] = True
    rows, words = np.nonzero(ends < 125)
    starts[rows, ends[rows, words]] = True
    token_ids = random.randint(LOW, HIGH, starts.shape)
    data = token_ids, starts, np.ones_like(starts)
    chosen = chosen_tokens(mask(data, config()))  # 19 of 125, as of 128 with special tokens
    taken = {}
    for row in range(3000):
        for word in words_of_row(data[1][row], data[2][row]):
            taken.setdefault(len(word), []).append(chosen[row, word].all())
    found = {size: np.mean(taken[size]) for size in recorded}
    assert found[1] > found[2] > found[4]
    np.testing.assert_allclose(list(found.values()), list(recorded.values()), atol=0.02)


def google_rows(folder, language, length):
    """The recorded texts, packed into rows of two segments; Google's words are ``##`` pieces."""
    vocabulary = {"zh": "vocab_zh_21128.txt", "en": "vocab_en_uncased_30522.txt"}[language]
    tokenizer = Tokenizer(folder / "tokenization" / vocabulary, do_lower_case=True)
    text = (folder / "masking" / f"text_{language}.txt").read_text("utf-8")
    pieces = [piece for line in text.splitlines() for piece in tokenizer.tokenize(line)[1:-1]]
    inner, rows = length - 3, []
    for at in range(0, len(pieces) - inner, inner):
        row = pieces[at : at + inner]
        rows.append(["[CLS]", *row[: inner // 2], "[SEP]", *row[inner // 2 :], "[SEP]"])
    tokens = np.array(rows)
    ids = np.array([[tokenizer.token_to_id(token) for token in row] for row in rows], np.int32)
    candidates = (tokens != "[CLS]") & (tokens != "[SEP]")
    return ids, ~np.char.startswith(tokens, "##"), candidates


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("mode", ["plain", "whole_word"])
@pytest.mark.slow
def test_the_rates_of_googles_program(shared, mode, language):
    folder = shared / "golden" / "google"
    recorded = json.loads((folder / "masking" / "masking_stats.json").read_text("utf-8"))
    length = recorded["settings"]["max_seq_length"]
    wwm = str(mode == "whole_word").lower()
    recorded = recorded["results"][f"google_{language}_wwm_{wwm}"]
    token_ids, starts, candidates = google_rows(folder, language, length)
    size = 21128 if language == "zh" else 30522
    settings = MaskingConfig(mask_id=103, random_ids=(0, size), mode=mode)
    counts = tf.fill([len(token_ids)], length)
    step = tf.function(
        lambda seed: mask_tokens(token_ids, starts, candidates, seed, settings, counts)
    )
    repeats = 10 if language == "zh" else 20
    chosen, replaced = [], []
    for seed in range(repeats):
        result = step(tf.constant([seed, 1]))
        result = type(result)(*(x.numpy() for x in result))
        chosen.append(chosen_tokens(result))
        replaced.append(result.token_ids)
    chosen, replaced = np.concatenate(chosen), np.concatenate(replaced)
    originals = np.tile(token_ids, (repeats, 1))

    # Google: of nothing but rows of full length 19 in 125; its shorter rows differ a little
    candidate_share = chosen.sum() / (candidates.sum() * repeats)
    assert abs(candidate_share - recorded["masked_over_maskable"]) < 0.002
    masked, kept = (replaced == 103)[chosen], (replaced == originals)[chosen]
    for found, name in (
        (masked.mean(), "fraction_to_MASK"),
        (kept.mean(), "fraction_kept"),
        ((~masked & ~kept).mean(), "fraction_random"),
    ):
        noise = np.sqrt(found * (1 - found) * (1 / recorded["masked"] + 1 / chosen.sum()))
        assert abs(found - recorded[name]) < 4 * noise, name
    drawn = replaced[chosen][~masked & ~kept]
    assert abs(drawn.mean() / size - 0.5) < 0.02
    assert drawn.min() < 0.005 * size and drawn.max() > 0.995 * size

    words = [words_of_row(*pair) for pair in zip(starts, candidates)]
    taken = {}  # words by number of pieces: how many of them, whole
    for number, row in enumerate(chosen):
        for word in words[number % len(words)]:
            taken.setdefault(len(word), []).append(row[word].all())
    for pieces, entry in recorded["word_length_in_pieces"].items():
        found = np.mean(taken[int(pieces)])
        share = max(found, entry["rate_fully"], 1e-3)
        noise = np.sqrt(share / entry["words"] + share / len(taken[int(pieces)]))
        assert abs(found - entry["rate_fully"]) < 4 * noise + 0.004, (pieces, found, entry)
