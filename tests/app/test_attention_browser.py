"""The attention views in a real browser: what a hand and a keyboard do, and what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.app.attended import attended
from tests.app.test_browser import opened
from tests.samples import attribution

from whence.app.attention.html import fragment, page
from whence.app.explanation.html import page as explanation_page

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ("atlas", "head", "flow")


@pytest.fixture(scope="module")
def causal():
    return attended("llama", generate=True, max_new_tokens=4)


def shown(browser, tmp_path, found, view="atlas", **settings):
    settings.setdefault("viewport", {"width": 1280, "height": 900})
    tab = opened(browser, tmp_path, page(found), **settings)
    tab.click(f"#wha-tab-{view}")
    tab.wait_for_selector(f'#wha-panel[data-view="{view}"] [data-caption]')
    return tab


def percent(share):
    """As the views write it; 100 % is never what is only nearly so."""
    value = 100 * share
    if 0 < value < 0.1:
        return "below 0.1 %"
    if 99.9 < value < 100:
        return "above 99.9 %"
    return f"{float(f'{value:.{1 if value < 10 or 99 < value < 100 else 0}f}'):g} %"


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_carries_its_caption_and_asks_for_nothing(browser, tmp_path, causal, view):
    tab = shown(browser, tmp_path, causal, view)
    caption = tab.inner_text("[data-caption]")
    assert "not why it decides" in caption
    assert "Hidden:" in caption
    assert "rebuild" in caption
    assert "sums to 1" in caption
    if view != "flow":
        assert "Measured effect of this head" in caption
    assert tab.locator("[data-legend]").count() >= 1
    assert [url for url in tab.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert tab.errors == []


def test_the_atlas_goes_from_pointing_to_a_head(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal)
    canvas = tab.locator("canvas[data-atlas]")
    box = canvas.bounding_box()
    before = tab.inner_text("[data-readout]")
    tab.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] - 8)
    tab.wait_for_function(
        "b => document.querySelector('[data-readout]').innerText !== b", arg=before
    )
    assert "layer 1" in tab.inner_text("[data-readout]")
    tab.mouse.click(box["x"] + box["width"] - 8, box["y"] + box["height"] - 8)
    tab.wait_for_selector('#wha-panel[data-view="head"]')
    assert "layer=1" in tab.url
    assert "head=3" in tab.url


def test_the_ranked_list_is_the_records(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal)
    first = next(e for e in causal.ranked() if e.chosen == "ranked")
    item = tab.locator("[data-ranked] li button").first
    assert f"head {first.head}" in item.inner_text()
    item.click()
    tab.wait_for_selector('#wha-panel[data-view="head"]')
    assert f"head={first.head}" in tab.url


def test_sorting_and_filtering(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal)
    pixels = "document.querySelector('canvas[data-atlas]').toDataURL()"
    before = tab.evaluate(pixels)
    tab.get_by_label(re.compile("Order of heads")).select_option("effect")
    tab.wait_for_function(f"b => {pixels} !== b", arg=before)
    assert "sort=effect" in tab.url
    slider = tab.get_by_label(re.compile("Least measured effect"))
    slider.focus()
    tab.keyboard.press("End")
    tab.wait_for_function(
        "() => !document.querySelector('[data-hidden]').innerText.includes('no head')"
    )


def test_the_keyboard_goes_everywhere(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal)
    tab.focus("#wha-tab-atlas")
    grid = tab.locator(".board[role=grid]").first
    grid.focus()
    before = tab.inner_text("[data-readout]")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    tab.wait_for_function(
        "b => document.querySelector('[data-readout]').innerText !== b", arg=before
    )
    tab.keyboard.press("Enter")
    tab.wait_for_selector('#wha-panel[data-view="head"]')
    tab.focus("#wha-tab-head")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_selector('#wha-panel[data-view="flow"]')
    tab.keyboard.press("Home")
    tab.wait_for_selector('#wha-panel[data-view="atlas"]')


def test_a_query_is_pointed_at_kept_and_let_go(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal, "head")
    token = tab.locator('[data-token="3"][data-side="query"]')
    token.hover()
    tab.wait_for_function(
        "() => document.querySelector('[data-readout]').innerText.includes('(3)')"
    )
    layer = causal.record.layers[int(re.search(r"layer=(\d+)", tab.url).group(1))]
    head = causal.head(layer.name, int(re.search(r"head=(\d+)", tab.url).group(1)))
    heaviest = float(head.rows([3]).max())
    # Number for number what the record says, to the digits shown.
    text = tab.inner_text("[data-readout]")
    assert percent(heaviest) in text
    token.click()
    assert "query=3" in tab.url
    tab.locator('[data-token="1"][data-side="query"]').hover()
    assert "(3)" in tab.inner_text("[data-readout]")
    tab.keyboard.press("Escape")
    tab.wait_for_function("() => !location.hash.includes('query=')")


def test_zooming_the_matrix(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal, "head")
    pixels = "document.querySelector('canvas[data-matrix]').toDataURL()"
    before = tab.evaluate(pixels)
    box = tab.locator("canvas[data-matrix]").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.locator("canvas[data-matrix]").scroll_into_view_if_needed()
    tab.get_by_role("button", name=re.compile("Zoom in")).click()
    tab.wait_for_function(f"b => {pixels} !== b", arg=before)
    tab.get_by_role("button", name="Whole").click()
    tab.wait_for_function(f"b => {pixels} === b", arg=before)


@pytest.mark.parametrize("view", VIEWS)
def test_pictures_and_numbers_are_saved(browser, tmp_path, causal, view):
    tab = shown(browser, tmp_path, causal, view)
    saved = {}
    for kind in ("CSV", "SVG", "PNG"):
        with tab.expect_download() as waiting:
            tab.get_by_role("button", name=f"Save {kind}").click()
        saved[kind] = Path(waiting.value.path()).read_bytes()
    assert saved["PNG"].startswith(b"\x89PNG")
    svg = saved["SVG"].decode("utf-8")
    assert svg.startswith("<svg ")
    assert "not why it decides" in svg
    assert "</script" not in svg
    rows = saved["CSV"].decode("utf-8-sig").splitlines()
    if view == "atlas":
        assert len(rows) == 1 + len(causal.record.heads)
        assert "measured effect" in rows[0]


def test_the_table_twin_holds_every_head(browser, tmp_path, causal):
    tab = shown(browser, tmp_path, causal)
    tab.get_by_role("button", name="Show table of heads").click()
    assert tab.locator("table tbody tr").count() == len(causal.record.heads)


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, tmp_path, name, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `make test` installs it")
    writes = name in ("llama", "t5")
    found = attended(name, generate=True, max_new_tokens=4) if writes else attended(name)
    for view in VIEWS[: 2 if name == "t5" else 3]:
        tab = shown(browser, tmp_path, found, view, color_scheme=scheme)
        tab.evaluate(AXE.read_text("utf-8"))
        result = tab.evaluate("axe.run(document)")
        assert [v["id"] for v in result["violations"]] == []
        tab.close()


@pytest.mark.parametrize("width", [420, 900])
def test_no_view_is_wider_than_the_window(browser, tmp_path, causal, width):
    for view in VIEWS:
        tab = shown(browser, tmp_path, causal, view, viewport={"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.close()


def test_attention_in_an_explanation_and_in_a_notebooks_frame(browser, tmp_path, causal):
    tab = opened(browser, tmp_path, explanation_page(attribution(), causal))
    tab.wait_for_selector("#whence-attention >> #wha-panel [data-caption]")
    assert tab.errors == []
    tab = opened(browser, tmp_path, f"<!doctype html><body>{fragment(causal)}</body>")
    frame = tab.frame_locator("iframe")
    frame.locator("#wha-tab-head").click()
    frame.locator('#wha-panel[data-view="head"] [data-caption]').wait_for()
    assert tab.errors == []
