"""The page of a distillation in a real browser: both themes, narrow windows, no overlap."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.app.distilled import NASTY, answering, curve, distilled, hostile, region
from tests.app.test_attention_browser import AXE
from tests.app.test_browser import opened

from whence.app.distill.html import fragment, page
from whence.core.statistics.proportions import Interval, proportion
from whence.students.certificate.frontier import Rung
from whence.students.families.registry import student_by_name

pytestmark = pytest.mark.browser

OVERLAPS = """nodes => {
  const boxes = nodes.filter(n => n.getClientRects().length).map(n => n.getBoundingClientRect());
  let found = 0;
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 4) found += 1;
  }));
  return found;
}"""


def whole(found=None):
    own = distilled() if found is None else found
    regions = (region(), region("long " * 80, few=True))
    return replace(own, regions=regions, curve=curve(), answering=answering())


def spread_out():
    """A frontier of eight students, three of them close together."""
    found = distilled()
    sizes = {"sparse-linear-10": 21, "decision-tree-16": 31, "rule-list-4": 44, "scorecard-15": 47, "sparse-linear-30": 64,
             "sparse-linear-100": 216, "sparse-linear-300": 687, "prototypes-20": 900}  # fmt: skip
    hits = (103, 122, 119, 117, 118, 136, 137, 110)
    rungs = [
        Rung(
            name=name, reading=reading, agreement=proportion(hit, 200),
            kappa=Interval(0.2, 0.1, 0.3, 200), readable=True, control=False, best=False,
        )
        for (name, reading), hit in zip(sizes.items(), hits, strict=True)
    ]  # fmt: skip
    controls = tuple(r for r in found.frontier.rungs if r.control)
    return replace(found, frontier=replace(found.frontier, rungs=(*rungs, *controls)))


def unfolded(tab):
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["rule-list-4", "sparse-linear-40", "decision-tree-6", "scorecard-5", "tree-sum-4"]
)
def test_axe_finds_nothing(browser, tmp_path, scheme, name):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `make test` installs it")
    found = whole(distilled((student_by_name(name),)))
    tab = opened(browser, tmp_path, page(found), color_scheme=scheme)
    unfolded(tab)
    tab.evaluate(AXE.read_text("utf-8"))
    result = tab.evaluate("axe.run(document)")
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
    tab.close()


def test_it_asks_for_nothing_and_runs_nothing(browser, tmp_path):
    tab = opened(browser, tmp_path, page(replace(hostile(), curve=curve())))
    assert len(tab.asked) == 1
    assert tab.errors == []
    assert tab.locator("h1").inner_text().startswith("A readable student of <script>alert(1)")
    assert NASTY[:12] in tab.locator(".region").first.inner_text() or tab.locator(
        ".region table"
    ).first.text_content().count("<script>")
    tab.close()


@pytest.mark.parametrize("width", [320, 400, 800, 1400])
def test_nothing_is_wider_than_the_window(browser, tmp_path, width):
    tab = opened(browser, tmp_path, page(whole()), viewport={"width": width, "height": 800})
    unfolded(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


@pytest.mark.parametrize("width", [400, 1200])
def test_names_on_the_frontier_do_not_overlap(browser, tmp_path, width):
    tab = opened(browser, tmp_path, page(spread_out()), viewport={"width": width, "height": 800})
    shown = [svg for svg in tab.locator("svg.plot").all() if svg.is_visible()]
    assert len(shown) == 2
    names = tab.locator("svg.plot").filter(has=tab.locator("text.name"))
    assert names.count() == 2
    assert tab.eval_on_selector_all("svg.plot text.name", OVERLAPS) == 0
    assert tab.eval_on_selector_all("svg.plot text.control", OVERLAPS) == 0
    assert (
        tab.eval_on_selector_all(
            "svg.plot text.name", "ns => ns.filter(n => n.getClientRects().length).length"
        )
        == 8
    )
    tab.close()


@pytest.mark.parametrize("width", [400, 1200])
def test_letters_of_the_picture_are_large_enough(browser, tmp_path, width):
    tab = opened(browser, tmp_path, page(whole()), viewport={"width": width, "height": 800})
    heights = tab.eval_on_selector_all(
        "svg.plot text.name",
        "ns => ns.filter(n => n.getClientRects().length).map(n => n.getBoundingClientRect().height)",
    )
    assert min(heights) >= 11
    tab.close()


def test_the_keyboard_opens_every_table(browser, tmp_path):
    tab = opened(browser, tmp_path, page(whole()))
    count = tab.locator("summary").count()
    opened_ = 0
    for _ in range(12 * count):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.tagName") == "SUMMARY":
            if tab.evaluate("document.activeElement.parentElement.open"):
                continue
            tab.keyboard.press("Enter")
            opened_ += 1
        if opened_ == count:
            break
    assert opened_ == count
    tab.close()


def test_cells_of_a_notebook_share_no_id_and_no_style(browser, tmp_path):
    cells = (
        f"<!doctype html><body>{fragment(distilled())}{fragment(hostile())}<p id=own>x</p></body>"
    )
    tab = opened(browser, tmp_path, cells)
    ids = tab.eval_on_selector_all("[id]", "nodes => nodes.map(n => n.id)")
    assert len(ids) == len(set(ids))
    bare = opened(browser, tmp_path, "<!doctype html><body><p id=own>x</p></body>")
    style = "n => getComputedStyle(n).fontFamily + getComputedStyle(n).color"
    assert tab.eval_on_selector("#own", style) == bare.eval_on_selector("#own", style)
    assert tab.errors == []
    tab.close()
    bare.close()
