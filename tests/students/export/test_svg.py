import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from tests.students import stored

from whence.students.export.svg import as_svg
from whence.students.families.decision_tree import FittedDecisionTree, Node
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures

NAMES = [
    "late", "a payment that was never made at all", "WWWWWMMMMMWWWWW", '<script>&"quoted"',
    "מאוחר מאוד", "日本語の長い言葉", "👩‍👩‍👧 family", "O'Hara’s", "internationalization", "x",
    "naïve\u0301 café", "\x00", "iiiillll", "100 %", "]]>", "भुगतान देर", "\ud800", "ﷺ ЩЩЩЩЮЮЮ",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def tree(leaves, share, labels=("accept", "reject", "needs a second look"), seed=0):
    """A tree of so many leaves; ``share`` of them follow from each "yes"."""
    rng = np.random.default_rng(seed)
    nodes = []

    def build(count):
        place, asked = len(nodes), sum(node.column is not None for node in nodes)
        node = Node(rng.dirichlet(np.full(len(labels), 0.5)), float(rng.integers(5, 20_000)))
        nodes.append(node)
        if count > 1:
            yes = int(np.clip(round(count * share), 1, count - 1))
            node.column = asked % len(NAMES)
            node.there = build(yes)
            node.absent = build(count - yes)
        return place

    build(leaves)
    kinds = ["denied" if place % 5 == 3 else "ngram" for place in range(len(NAMES))]
    kept = [Feature(kind, name) for kind, name in zip(kinds, NAMES, strict=True)]
    return FittedDecisionTree(labels, Features(ReadableFeatures(negation=True), kept), nodes)


CASES = [(1, 0.5), (2, 0.5), (3, 0.3), (8, 0.3), (8, 0.9), (16, 0.05), (16, 0.5), (40, 0.4)]


def boxes(root):
    found = [r for r in root.iter(f"{SVG}rect") if r.get("class") in ("ask", "leaf")]
    return [tuple(float(r.get(n)) for n in ("x", "y", "width", "height")) for r in found]


@pytest.mark.parametrize(("leaves", "share"), CASES)
def test_no_box_lies_on_another_and_all_are_within(leaves, share):
    root = ET.fromstring(as_svg(tree(leaves, share)))
    found = boxes(root)
    assert len(found) == 2 * leaves - 1
    width, height = (float(root.get(name)) for name in ("width", "height"))
    for place, (x, y, w, h) in enumerate(found):
        assert x >= 10
        assert y >= 10
        assert x + w <= width - 10
        assert y + h <= height - 10
        for u, v, a, b in found[place + 1 :]:
            assert x + w + 10 < u or u + a + 10 < x or y + h + 10 < v or v + b + 10 < y


@pytest.mark.parametrize(("leaves", "share"), CASES)
def test_no_line_runs_through_a_box(leaves, share):
    root = ET.fromstring(as_svg(tree(leaves, share)))
    found = boxes(root)
    lines = [path.get("d") for path in root.iter(f"{SVG}path")]
    assert len(lines) == leaves - 1
    for line in lines:
        x0, y0, x1, stem, top, below = map(float, re.findall(r"[\d.]+", line))
        for x, y, w, h in found:
            # Coordinates are written to a tenth.
            assert not (x0 < x + w - 0.3 and x + 0.3 < x1 and y < y0 < y + h)
            assert not (x < stem < x + w and y + 0.3 < below and top < y + h - 0.3)
        ends = {(x, y + h / 2) for x, y, w, h in found}
        assert any(abs(x - x1) < 0.2 and abs(y - y0) < 0.2 for x, y in ends)
        assert any(abs(y - below) < 0.2 and x < stem < x + w for x, y, w, _ in found)


def test_everything_is_said():
    student = tree(16, 0.5)
    root = ET.fromstring(as_svg(student, title="Late <payers>"))
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    shown = [name.replace("\x00", "\\u0000").replace("\ud800", "\\ud800") for name in NAMES]
    for place in range(15):
        denied = " denied" if place % 5 == 3 else ""
        assert f"'{shown[place]}'{denied}?" in texts
    for node in student.nodes:
        if node.column is None:
            top = int(node.chances.argmax())
            due = f"{student.labels[top]}  {node.chances[top]:.2f}, {node.texts:,.0f} texts"
            assert due in texts
    assert texts.count("yes") == texts.count("no") == 15
    title, told = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title.text == "Late <payers>"
    assert told.text.count("\n") == 30
    assert root.get("aria-labelledby").split() == [title.get("id"), told.get("id")]
    assert root.get("role") == "img"


def test_the_bar_is_as_long_as_the_answer_is_probable():
    student = tree(8, 0.4)
    root = ET.fromstring(as_svg(student))
    tracks = [float(r.get("width")) for r in root.iter(f"{SVG}rect") if r.get("class") == "track"]
    bars = [
        (r.get("class"), float(r.get("width")))
        for r in root.iter(f"{SVG}rect")
        if re.fullmatch(r"c\d", r.get("class") or "")
    ]
    leaves = [node.chances for node in student.nodes if node.column is None]
    found = sorted(
        (kind, round(bar / full, 2)) for (kind, bar), full in zip(bars, tracks, strict=True)
    )
    due = sorted((f"c{chances.argmax()}", round(chances.max(), 2)) for chances in leaves)
    assert [kind for kind, _ in found] == [kind for kind, _ in due]
    assert [share for _, share in found] == pytest.approx([share for _, share in due], abs=0.011)


def test_it_stands_alone_and_beside_others():
    one, two = as_svg(tree(3, 0.5)), as_svg(tree(3, 0.5, seed=1))
    assert "href" not in one
    assert "url(" not in one
    assert "prefers-color-scheme:dark" in one
    ids = [set(re.findall(r'id="(.*?)"', text)) for text in (one, two)]
    assert len(ids[0]) == 3
    assert not ids[0] & ids[1]
    own = re.search(r'<svg [^>]*id="(.*?)"', one)[1]
    style = re.search("<style>(.*)</style>", one)[1].replace(
        "@media(prefers-color-scheme:dark){", ""
    )
    assert {rule[: len(own) + 1] for rule in re.findall(r"(#[^{}]*)\{", style)} == {f"#{own}"}


def test_a_fitted_tree_is_drawn():
    student = stored.fitted("decision-tree")
    assert as_svg(student) == as_svg(student)
    assert f"of {sum(n.column is None for n in student.nodes)} leaves" in as_svg(student)


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed; `make browser` installs it")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_fits_its_box_and_can_be_read(browser, tmp_path, scheme):
    path = tmp_path / "tree.svg"
    path.write_text(as_svg(tree(len(NAMES) + 1, 0.3)), "utf-8")
    tab = browser.new_page(color_scheme=scheme)
    tab.set_default_timeout(120_000)
    tab.goto(path.as_uri())
    found = tab.evaluate(
        """() => [...document.querySelectorAll('rect.ask, rect.leaf')].map(box => {
            let text = box; while (text.tagName !== 'text') text = text.nextElementSibling
            const b = box.getBBox(), t = text.getBBox()
            const right = b.x + b.width - t.x - t.width, below = b.y + b.height - t.y - t.height
            return [t.x - b.x, right, t.y - b.y, below, text.textContent]
        })"""
    )
    assert len(found) == 2 * len(NAMES) + 1
    assert [text for left, right, _, _, text in found if min(left, right) < 4] == []
    assert [text for _, _, top, bottom, text in found if min(top, bottom) < 0] == []
    fill = "(e) => getComputedStyle(document.querySelector(e)).fill"
    page, ink = (tab.evaluate(fill, name) for name in (".page", "text"))
    light = [sum(map(int, re.findall(r"\d+", colour))) / 765 for colour in (page, ink)]
    assert (
        (light[0] > 0.9 and light[1] < 0.2)
        if scheme == "light"
        else (light[0] < 0.15 and light[1] > 0.85)
    )
    tab.close()
