"""A trust label in a real browser: never colour alone, keyboard, screen reader, both themes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.test_attention_browser import AXE
from tests.app.test_browser import opened
from tests.samples import attribution, trust_label

from whence.app.explanation.html import Section, fragment, page, pages
from whence.core import TrustLabel
from whence.core.arrays import frozen_array

pytestmark = pytest.mark.browser

LABELS = {
    "A": {"grade": "A", "calibration": "t", "reliable": (True, True, False)},
    "C": {"grade": "C", "calibration": "t", "reasons": ("it wavers",)},
    "uncalibrated": {"grade": "uncalibrated", "reasons": ("no thresholds",)},
    "abstain": {
        "grade": "abstain",
        "calibration": "t",
        "says": "No words account for this answer better than chance.",
        "reasons": ("shuffled scores did as well",),
        "reliable": (True, True, True),
    },
}
GROUNDS = """nodes => nodes.map(n => getComputedStyle(n).backgroundColor)
    .filter(c => c !== 'rgba(0, 0, 0, 0)')"""


def judged(grade, **changes):
    settings = {"scores": ((1.0,), (-2.0,), (0.1,)), "values": (1.5,), **changes}
    pool = trust_label().pool
    pool = replace(pool, values=frozen_array(pool.values[:, :1]), full=frozen_array([1.5]))
    return attribution(**settings, trust=trust_label(**LABELS[grade], pool=pool))


def unfolded(tab):
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("grade", [*LABELS, None])
def test_axe_finds_nothing(browser, tmp_path, grade, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `make test` installs it")
    record = attribution() if grade is None else judged(grade)
    tab = opened(browser, tmp_path, page(record), color_scheme=scheme)
    unfolded(tab)
    assert len(tab.asked) == 1
    tab.evaluate(AXE.read_text("utf-8"))
    result = tab.evaluate("axe.run(document)")
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
    assert tab.errors == []
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("grade", "coloured"), [("A", 2), ("C", 1), ("abstain", 0)])
def test_how_many_words_have_a_colour(browser, tmp_path, grade, coloured, scheme):
    tab = opened(browser, tmp_path, page(judged(grade)), color_scheme=scheme)
    assert len(tab.eval_on_selector_all(".text, .text *", GROUNDS)) == coloured
    assert tab.locator(".text").inner_text() == "pain denied today"
    fills = tab.eval_on_selector_all(
        ".chart rect", "bars => bars.map(b => getComputedStyle(b).fill)"
    )
    grey = [c for c in fills if len({*c.removeprefix("rgb(").rstrip(")").split(", ")[:2]}) == 1]
    assert len(fills) == (0 if grade == "abstain" else 3)
    assert len(grey) == len(fills) - coloured
    tab.close()


@pytest.mark.parametrize("grade", LABELS)
def test_the_mark_is_a_picture_a_word_and_a_sentence(browser, tmp_path, grade):
    tab = opened(browser, tmp_path, page(judged(grade)))
    note = tab.get_by_role("note", name="How far these scores can be trusted")
    word = {"A": "Usable", "abstain": "Do not use as a reason"}.get(grade, "Use with care")
    assert word in note.inner_text()
    assert judged(grade).trust.says in note.inner_text()
    if grade == "uncalibrated":
        assert "uncalibrated" in note.inner_text()
    box = note.locator("svg").bounding_box()
    assert box["width"] > 12
    assert box["height"] > 12
    tab.close()


def test_shapes_of_the_three_marks_differ(browser, tmp_path):
    shapes = set()
    for grade in ("A", "C", "abstain"):
        tab = opened(browser, tmp_path, page(judged(grade)))
        shapes.add(tab.locator(".trust svg").inner_html())
        tab.close()
    assert len(shapes) == 3


def test_the_keyboard_opens_the_evidence_and_saves_the_label(browser, tmp_path):
    record = judged("A")
    tab = opened(browser, tmp_path, page(record))

    def to(words):
        for _ in range(40):
            tab.keyboard.press("Tab")
            if words in tab.evaluate("document.activeElement.textContent"):
                return tab.evaluate("document.activeElement.tagName")
        raise AssertionError(f"{words!r} cannot be reached by Tab")

    assert to("Evidence behind this verdict") == "SUMMARY"
    tab.keyboard.press("Enter")
    assert tab.get_by_text("The scores tell which words matter").is_visible()
    assert to("The 2 masks") == "SUMMARY"
    tab.keyboard.press("Enter")
    assert tab.get_by_role("img", name="Masks as rows").is_visible()
    assert tab.locator("table.pool tbody tr").count() == 3
    assert to("Save this label") == "A"
    with tab.expect_download() as waiting:
        tab.keyboard.press("Enter")
    assert waiting.value.suggested_filename == f"trust-label-{record.trust.digest[:10]}.json"
    saved = Path(waiting.value.path()).read_text("utf-8")
    assert TrustLabel.from_json(saved) == record.trust
    assert json.loads(saved)["pool"]["masks"] == ["100", "011"]
    tab.close()


@pytest.mark.parametrize("width", [320, 800, 1400])
def test_nothing_is_wider_than_the_window(browser, tmp_path, width):
    long = judged("C", text="word " * 60)
    label = replace(
        long.trust, says="x" * 400, reasons=("y" * 400,), notes=("z" * 400,), output="one"
    )
    pair = (("left", replace(long, trust=label)), ("right", judged("abstain")))
    text = pages([Section(title="Two", about="Both.", explanations=pair)], "Title")
    tab = opened(browser, tmp_path, text, viewport={"width": width, "height": 800})
    unfolded(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_right_to_left_sentences_run_right_to_left(browser, tmp_path):
    record = judged("C", text="\u05d4\u05d1\u05e0\u05e7 \u05d3\u05d7\u05d4")
    label = replace(record.trust, says="\u05d1\u05dc\u05d9 \u05d4\u05de\u05d9\u05dc\u05d4")
    tab = opened(browser, tmp_path, page(replace(record, trust=label)))
    for selector in (".trust p:nth-of-type(2)", ".text"):
        found = tab.eval_on_selector(selector, "n => getComputedStyle(n).direction")
        assert found == "rtl"
    unfolded(tab)
    assert tab.eval_on_selector(".bits", "n => getComputedStyle(n).direction") == "ltr"
    tab.close()


def test_reasons_keep_their_bullets_inside_the_box(browser, tmp_path):
    record = judged("C")
    label = replace(record.trust, reasons=("it wavers", "\u05d1\u05dc\u05d9 \u05d4"))
    tab = opened(browser, tmp_path, page(replace(record, trust=label)))
    box = tab.locator(".trust").bounding_box()
    left, right = (item.bounding_box() for item in tab.locator(".trust li").all())
    assert left["x"] - box["x"] > 16
    assert box["x"] + box["width"] - right["x"] - right["width"] > 16
    tab.close()


def test_cells_of_a_notebook_leave_each_others_colours_alone(browser, tmp_path):
    fills = "bars => bars.map(b => getComputedStyle(b).fill)"
    first = judged("A")
    alone = opened(browser, tmp_path, f"<!doctype html><body>{fragment(first)}</body>")
    before = alone.eval_on_selector_all(".chart rect", fills)
    both = f"<!doctype html><body>{fragment(first)}{first.trust._repr_html_()}</body>"
    tab = opened(browser, tmp_path, both)
    assert tab.eval_on_selector_all(".chart rect", fills) == before
    assert len(set(before)) == 3
    tab.close()


def test_in_a_notebook(browser, tmp_path):
    record = judged("abstain")
    cells = f"<!doctype html><body>{fragment(record)}{record.trust._repr_html_()}</body>"
    tab = opened(browser, tmp_path, cells)
    assert tab.locator("[role=note]").count() == 2
    assert tab.locator("mark").count() == 0
    ids = tab.eval_on_selector_all("[id]", "nodes => nodes.map(n => n.id)")
    assert len(ids) == len(set(ids))
    assert tab.errors == []
    tab.close()
