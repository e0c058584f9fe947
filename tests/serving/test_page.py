"""The page in a real browser."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from kerasbert.serving import Limits, TextService, create_app
from tests.serving.browser import open_browser, why_not
from tests.serving.client import served
from tests.serving.fakes import FakeEncoder, FakeGenerator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def generator():
    return FakeGenerator()


@pytest.fixture
def page(browser, generator):
    service = TextService(
        FakeEncoder(), generator, name="tiny <b>model</b>", limits=Limits(max_characters=200)
    )
    with served(create_app(service, ("127.0.0.1",))) as client:
        browser.go(client.url)
        browser.wait(lambda: browser.is_shown("#generate"))
        yield browser
        # Refused resources and errors of the script are told here; answers with a status of 400 and
        # more are, too.
        wrong = [said for said in browser.console() if "status of 4" not in said]
        assert wrong == []


def answer(page, section: str) -> str:
    """What a section shows once its request is done."""
    page.wait(lambda: not page.run(f"return document.querySelector('#{section} button').disabled"))
    return page.wait(lambda: page.text(f"#{section} output"))


def test_what_is_served_is_shown(page):
    assert page.text("#model") == "tiny <b>model</b>"  # as text, whatever a name holds
    assert all(page.is_shown(f"#{name}") for name in ("encode", "similar", "generate"))


def test_encode(page):
    page.write("#encode textarea", "我爱北京\n\nabc\n")
    page.click("#encode button")
    shown = answer(page, "encode")
    assert shown.startswith("2 × 8")
    assert "我爱北京" in shown and "abc" in shown and " ms" in shown
    assert page.run("return document.querySelectorAll('#encode canvas').length") == 2


def test_similar(page):
    page.write("#similar input", "aab")
    page.write("#similar textarea", "c\n<i>aab</i>\naab")
    page.click("#similar button")
    words = answer(page, "similar").split()
    assert words[:2] == ["1.0000", "aab"]
    assert "<i>aab</i>" in words
    assert page.run("return document.querySelectorAll('#similar progress')[0].value") > 0.99


def test_generate_streams(page, generator):
    page.write("#generate textarea", "我爱北京天安门")
    page.click("#generate button")
    assert answer(page, "generate").splitlines()[0] == "门安天京北爱我"


@pytest.mark.parametrize(
    "way, options",
    [
        ("beam", {"num_beams": 3, "num_return_sequences": 2}),
        ("sample", {"do_sample": True, "top_p": 0.95, "num_return_sequences": 2}),
    ],
)
def test_generate_several(page, generator, way, options):
    page.click(f"#generate option[value={way}]")
    page.write("#generate input[name=count]", "2")
    page.write("#generate input[name=tokens]", "3")
    page.write("#generate textarea", "abcd")
    page.click("#generate button")
    assert answer(page, "generate").splitlines()[:2] == ["dcb", "dcb"]
    assert generator.calls[-1] == (["abcd"], {**options, "max_new_tokens": 3})


def test_errors_are_shown(page):
    page.write("#generate textarea", "a!bc")
    page.click("#generate button")
    assert answer(page, "generate") == "cannot go on."
    page.write("#encode textarea", "x" * 201)
    page.click("#encode button")
    assert answer(page, "encode") == "texts[0] has 201 characters, and a text may have 200."
    assert page.run("return document.querySelector('#encode output').className") == "error"


def test_nothing_comes_from_elsewhere(page):
    hosts = page.run(
        "return performance.getEntriesByType('resource').map((e) => new URL(e.name).host)"
    )
    assert set(hosts) <= {page.run("return location.host")}


def test_an_encoder_alone_has_no_form_to_generate(browser):
    with served(create_app(TextService(FakeEncoder(), corpus=["a"]))) as client:
        browser.go(client.url)
        browser.wait(lambda: browser.is_shown("#encode"))
        assert not browser.is_shown("#generate")
        assert browser.is_shown("#similar .corpus")
