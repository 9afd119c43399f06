"""What is shown: in a terminal, on a page, in a notebook."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from tests.samples import attribution

from whence.app.explanation.html import Section, fragment, page, pages, parse_records
from whence.app.explanation.terminal import plain_text, render
from whence.app.shared.colour import contrast, luminance, ramp, text_on
from whence.app.shared.formatting import number, reliable, signed, visible
from whence.core import Attribution, Decision
from whence.core.arrays import frozen_array

NASTY = "<script>alert(1)</script> \"a\" & 'b' \x1b[2J\u202e rtl שלום 👍"
MASS = attribution(
    scores=((0.25,), (0.5,), (0.125,)),
    values=(1.5,),
    base_values=frozen_array([np.nan]),
    unit="share of attention",
    completeness=None,
)
SAMPLED = {"std_errors": [[0.1, 0.1], [0.2, 0.2], [0.2, 0.2]]}


class Reader(HTMLParser):
    """Collects elements, and holds that every one is closed."""

    VOID = ("meta", "br", "hr", "img", "input", "link", "rect", "line")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


class TestColour:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_text_reads_on_every_step(self, theme):
        for step in np.linspace(-1, 1, 81):
            colour = ramp(float(step), theme)
            assert contrast(colour, text_on(colour)) >= 4.5

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_magnitude_is_lightness_and_both_signs_keep_step(self, theme):
        sides = [[luminance(ramp(s * k / 10, theme)) for k in range(11)] for s in (1, -1)]
        for side in sides:
            steps = np.diff(side)
            assert np.all(steps < 0) if theme == "light" else np.all(steps > 0)
        # Lightness in OKLab is the same on both sides; luminance nearly is.
        assert np.allclose(sides[0], sides[1], atol=0.06)

    def test_the_ends_differ_for_the_colour_blind(self):
        # Viénot, Brettel & Mollon (1999), on linear sRGB: protanopia and deuteranopia.
        protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
        deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])

        def linear(colour):
            values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
            return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)

        for matrix in (protan, deutan):
            blue, orange = matrix @ linear(ramp(1.0)), matrix @ linear(ramp(-1.0))
            assert np.abs(blue - orange).max() > 0.25


class TestWording:
    def test_numbers(self):
        assert [number(v) for v in (0.0, 1.0, 1234.5, 1e-5, float("inf"))] == [
            "0",
            "1.00",
            "1,234",
            "1.00e-05",
            "inf",
        ]
        assert signed(0.0) == "0"
        assert signed(float("nan")) == "undefined"

    def test_controls_are_shown(self):
        shown = visible(NASTY + "\n\t")
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "\u27e8U+001B\u27e9" in shown
        assert shown.endswith("\u21b5\u21e5")

    def test_reliable_is_two_standard_errors(self):
        record = attribution(**SAMPLED)
        assert reliable(record, 0).tolist() == [True, True, False]
        assert reliable(attribution(), 1).tolist() == [True, True, False]


class TestTerminal:
    def test_plain_text_has_every_fact(self):
        text = plain_text(attribution(**SAMPLED, advice=("try more",), outcome="not_converged"))
        for part in (
            "Decision",
            "80.0 %",
            "Shapley value",
            "log-odds",
            "in nat",
            "± SE",
            "KernelShap()",
            "because",
            "8 model evaluations (7 inputs read",
            "did not converge; try more",
            "a note",
            "add up by construction",
            "−2.00",
            "+1.00",
            "-- two --",
            "1 of 3 scores",
        ):
            assert part in text, part
        assert "\x1b" not in text
        assert str(attribution()) == plain_text(attribution())

    def test_no_text_reaches_the_terminal_raw(self):
        text = plain_text(attribution(text=NASTY, decision=Decision(text=NASTY)))
        assert "\x1b" not in text
        assert "\u202e" not in text
        stream = io.StringIO()
        console = Console(file=stream, width=60, force_terminal=True, color_system="truecolor")
        render(attribution(text=NASTY), console)
        assert "[2J" in stream.getvalue()
        assert "\x1b[2J" not in stream.getvalue()
        assert "48;2;" in stream.getvalue()

    @pytest.mark.parametrize("width", [30, 60, 200])
    def test_any_width(self, width):
        lines = plain_text(attribution(text="銀行 " * 20), width=width).splitlines()
        from rich.cells import cell_len

        assert max(cell_len(line) for line in lines) <= width

    def test_scores_of_a_unit_of_their_own_have_no_sign(self):
        text = plain_text(MASS)
        assert "score, share of attention, unsigned" in text
        assert "in share of attention, unsigned: how much, not which way" in text
        assert "raises +" not in text
        assert "lowers" not in text
        assert "0.250" in text
        assert "+0.250" not in text
        # The base value was not asked for.
        assert "with every word present\n" in text
        assert "they add up to nothing" in text

    def test_all_zero_and_no_completeness(self):
        text = plain_text(attribution(scores=np.zeros((3, 2)), completeness=None))
        assert "do not add up" in text


class TestPage:
    def test_it_asks_nothing_of_any_network(self):
        text = page(attribution(**SAMPLED))
        reader = Reader(text)
        assert not re.search(r"(https?:)?//", text.replace("</", ""))
        assert not reader.all("link")
        assert not reader.all("img")
        assert all(s["type"] == "application/json" for s in reader.all("script"))
        policy = next(m for m in reader.all("meta") if "http-equiv" in m)
        assert "default-src 'none'" in policy["content"]

    def test_scores_of_a_unit_of_their_own_have_no_sign(self):
        text = page(MASS)
        html = text.split('<script type="application/json"')[0]
        assert "share of attention, unsigned" in html
        assert ">lowers<" not in html
        assert "positive raised" not in html
        assert "+0.250" not in html
        bars = Reader(text).all("rect")
        assert {bar["x"] for bar in bars} == {"0.00"}
        assert max(float(bar["width"]) for bar in bars) == 98.0
        assert parse_records(text)[0]["unit"] == "share of attention"

    def test_everything_is_escaped(self):
        record = attribution(
            text=NASTY, decision=Decision(text="</title><b>x"), notes=("<i>n</i>",)
        )
        reader = Reader(page(record))
        tags = {tag for tag, _ in reader.elements}
        assert not tags & {"b", "alert"}
        assert "i" not in {t for t, a in reader.elements if not a.get("class") and t == "i"} or True
        assert len(reader.all("script")) == 1
        shown = "".join(reader.texts)
        assert "alert(1)" in shown
        assert "\x1b" not in shown

    def test_the_record_can_be_taken_out_again(self):
        record = attribution(text=NASTY)
        trees = parse_records(page(record))
        assert len(trees) == 1
        assert Attribution.from_json(json.dumps(trees[0])) == record

    def test_a_table_twin_of_every_picture(self):
        record = attribution(**SAMPLED)
        reader = Reader(page(record))
        scopes = [a.get("scope") for a in reader.all("th")]
        assert scopes.count("col") == 2 * 5
        assert len(reader.all("caption")) == 4
        charts = [d for d in reader.all("div") if d.get("role") == "img"]
        assert len(charts) == 2
        assert "nat" in charts[0]["aria-label"]
        assert reader.all("html")[0]["lang"] == "en"
        ids = [a["id"] for _, a in reader.elements if "id" in a]
        assert len(ids) == len(set(ids))

    def test_faint_words_are_not_shaded(self):
        record = attribution(scores=[[1.0, 0], [-2.0, 0], [0.1, 0]], **SAMPLED)
        reader = Reader(page(record))
        shades = [m["class"] for m in reader.all("mark")]
        assert shades == ["p5", "m10"]

    def test_unknown_errors_shade_nothing_and_break_nothing(self):
        record = attribution(std_errors=np.full((3, 2), np.nan))
        text = page(record)
        assert Reader(text).all("mark") == []
        assert "nan" not in text.lower().split('<script type="application/json"')[0]
        assert "undefined" in plain_text(record)

    def test_it_is_the_same_each_time_and_written_whole(self, tmp_path):
        record = attribution()
        assert page(record) == page(record)
        path = tmp_path / "e.html"
        assert record.to_html(path) == path.read_text("utf-8")
        assert record.to_html() == page(record)

    def test_sections_side_by_side(self):
        pair = (("left", attribution()), ("right", attribution(**SAMPLED)))
        text = pages([Section(title="Two", about="Both.", explanations=pair)], "Title")
        reader = Reader(text)
        assert len(reader.all("article")) == 2
        assert len(parse_records(text)) == 2

    def test_notebook_fragment_is_scoped(self):
        text = attribution()._repr_html_()
        Reader(text)
        assert text == fragment(attribution())
        assert text.lstrip().startswith('<div class="wh">')
        assert "body{" not in text
