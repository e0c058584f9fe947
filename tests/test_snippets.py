from kerasbert import data, snippets
from kerasbert.generation import autoregressive


def test_snippets_hands_on_what_lives_elsewhere():
    assert snippets.__all__
    homes = {"AutoRegressiveDecoder": autoregressive}
    for name in snippets.__all__:
        assert getattr(snippets, name) is getattr(homes.get(name, data), name)


def test_names_that_bert4keras_scripts_import():
    from kerasbert.snippets import (  # noqa: F401
        AutoRegressiveDecoder,
        DataGenerator,
        sequence_padding,
        text_segmentate,
        to_array,
        truncate_sequences,
    )
