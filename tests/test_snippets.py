from kerasbert import data, snippets


def test_snippets_hands_on_what_lives_elsewhere():
    assert snippets.__all__
    for name in snippets.__all__:
        assert getattr(snippets, name) is getattr(data, name)


def test_names_that_bert4keras_scripts_import():
    from kerasbert.snippets import (  # noqa: F401
        DataGenerator,
        sequence_padding,
        text_segmentate,
        to_array,
        truncate_sequences,
    )
