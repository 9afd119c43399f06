"""Elements in a notebook take the notebook's theme, whatever the reader's system prefers."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from tests.app.attended import attended
from tests.samples import attribution

from whence.app.attention.html import fragment as attention_fragment
from whence.app.explanation.html import STEPS, fragment, page
from whence.app.shared.colour import THEMES, contrast, ramp

NOTEBOOKS = {
    "a page without a theme": ("<body>", False),
    "JupyterLab, light": ('<body data-jp-theme-light="true">', False),
    "JupyterLab, dark": ('<body data-jp-theme-light="false">', True),
    "Visual Studio Code, light": ('<body data-vscode-theme-kind="vscode-light">', False),
    "Visual Studio Code, dark": ('<body data-vscode-theme-kind="vscode-dark">', True),
    "Colab, dark": ('<html theme="dark"><body>', True),
}


@pytest.mark.browser
@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_theme_is_the_notebooks(browser, notebook, system):
    opening, dark = NOTEBOOKS[notebook]
    tab = browser.new_page(color_scheme=system)
    tab.set_content(f"<!doctype html>{opening}{fragment(attribution())}</body>")
    ground = tab.evaluate("getComputedStyle(document.querySelector('.wh .card')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 300) == dark
    shades = tab.eval_on_selector_all("mark", "all => all.map(m => getComputedStyle(m).color)")
    assert shades
    tab.close()


@pytest.mark.browser
@pytest.mark.parametrize("notebook", ["JupyterLab, light", "JupyterLab, dark"])
def test_a_frame_takes_the_notebooks_theme_too(browser, notebook):
    opening, dark = NOTEBOOKS[notebook]
    # Nothing emulated: an emulated preference would hold inside of frames too.
    tab = browser.new_page(color_scheme="null")
    tab.set_content(f"<!doctype html>{opening}{attention_fragment(attended())}</body>")
    frame = tab.frames[-1]
    frame.wait_for_load_state()
    asked = "matchMedia('(prefers-color-scheme:dark)').matches"
    assert frame.evaluate(asked) == dark
    tab.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_every_shade_is_told_from_what_it_stands_on(theme, sign):
    edge = ramp(sign, theme)
    # The card and the page of the style sheet.
    for ground in {"light": ("#ffffff", "#f7f7fa"), "dark": ("#171717", "#202024")}[theme]:
        assert contrast(edge, ground) >= 3
    rules = page(attribution())
    letter = "p" if sign > 0 else "m"
    for step in range(1, STEPS + 1):
        tint = ramp(sign * step / STEPS, theme)
        assert re.search(
            rf"mark\.{letter}{step},[^{{]*{{background:{tint};[^}}]*inset 0 -2px {edge}}}", rules
        )
        assert f".wh svg .{letter}{step}{{fill:{tint};stroke:{edge}}}" in rules


@pytest.mark.browser
def test_a_bar_stands_near_its_name_and_its_number(browser):
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.set_content(page(attribution()))
    box = tab.locator(".chart").first.bounding_box()
    assert box["width"] <= 720
    tab.close()


def test_only_style_rules_are_changed_for_a_notebook():
    text = "@media(prefers-color-scheme:dark) late"
    shown = attribution(text=text, scores=((1.0, -0.5),))
    assert "prefers-color-scheme" in fragment(shown)


def test_every_fragment_takes_it():
    templates = files("whence.app").joinpath("templates").iterdir()
    fragments = [t for t in templates if t.name.endswith("fragment.html")]
    assert len(fragments) >= 6
    for template in fragments:
        assert "<style>{% filter notebook %}" in template.read_text("utf-8"), template.name
