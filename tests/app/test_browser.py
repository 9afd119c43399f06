"""The page in a real browser: no request, no script, keyboard, both themes."""

from __future__ import annotations

import pytest
from tests.samples import attribution

from whence.app.explanation.html import Section, page, pages

pytestmark = pytest.mark.browser


def opened(browser, tmp_path, text, **settings):
    path = tmp_path / "page.html"
    path.write_text(text, "utf-8")
    tab = browser.new_page(**settings)
    tab.set_default_timeout(120_000)  # milliseconds; half a minute is short on a busy machine
    tab.asked, tab.errors = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda message: tab.errors.append(message.text))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.goto(path.as_uri())
    return tab


SAMPLED = {"std_errors": [[0.1, 0.1], [0.2, 0.2], [0.2, 0.2]]}


def test_it_asks_for_nothing_and_logs_nothing(browser, tmp_path):
    tab = opened(browser, tmp_path, page(attribution(**SAMPLED)))
    assert len(tab.asked) == 1
    assert tab.asked[0].startswith("file:")
    assert tab.errors == []


def test_the_keyboard_opens_every_table(browser, tmp_path):
    tab = opened(browser, tmp_path, page(attribution(**SAMPLED)))
    assert tab.locator("details[open]").count() == 0
    for _ in range(4):
        tab.keyboard.press("Tab")
        while tab.evaluate("document.activeElement.tagName") != "SUMMARY":
            tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
    assert tab.locator("details[open]").count() == 4
    assert "standard error" in tab.locator("table").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_shaded_in_both_themes(browser, tmp_path, scheme):
    tab = opened(browser, tmp_path, page(attribution()), color_scheme=scheme)
    colours = tab.eval_on_selector_all(
        "mark", "marks => marks.map(m => getComputedStyle(m).backgroundColor)"
    )
    assert len(set(colours)) >= 3
    body = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(v) for v in body.strip("rgb()").split(",")) < 300
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_is_wider_than_the_window(browser, tmp_path, width):
    pair = (("left", attribution(text="word " * 200)), ("right", attribution(text="x" * 900)))
    text = pages([Section(title="Two", about="Both.", explanations=pair)], "Title")
    tab = opened(browser, tmp_path, text, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_right_to_left_text_runs_right_to_left(browser, tmp_path):
    tab = opened(browser, tmp_path, page(attribution(text="הבנק דחה את הבקשה")))
    assert tab.evaluate("getComputedStyle(document.querySelector('.text')).direction") == "rtl"
