"""A trust label as it is shown: what is coloured, what is said, and what an auditor finds."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.app.test_views import MASS, NASTY, SAMPLED, Reader
from tests.samples import attribution, trust_label

from whence.app.explanation.html import fragment, page
from whence.app.explanation.terminal import plain_text, render
from whence.app.shared.colour import VERDICTS, contrast
from whence.app.trust.html import label_view
from whence.app.trust.terminal import render as render_label
from whence.app.trust.wording import (
    FINDINGS,
    about,
    faint_because,
    interval,
    label_facts,
    mark_of,
    measured,
    standing,
)
from whence.core import (
    Interval,
    KeptPool,
    Measurement,
    MethodSpec,
    OptionError,
    Quantity,
    TrustLabel,
    compare_labels,
)
from whence.core.arrays import frozen_array
from whence.core.label_diff import VERSIONS

ONE = {"scores": ((1.0,), (-2.0,), (0.1,)), "values": (1.5,)}
"""One output, so that nothing is shown but what was judged."""
CALIBRATED = {"calibration": "a table, n 1,200"}


def judged(grade="B", changes=None, **label):
    label = {**CALIBRATED, "grade": grade, **label}
    return attribution(**{**ONE, "trust": trust_label(**label), **(changes or {})})


def colours(record, **settings):
    """The escape codes of background colours that the terminal got."""
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system="truecolor")
    render(record, console, **settings)
    return re.findall(r"48;2;[\d;]+", stream.getvalue())


def bars(record):
    """The escape codes of the colours that bars got."""
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system="truecolor")
    render(record, console)
    return re.findall(r"\[((?:\d+;)*38;2;[\d;]+)m\u2588", stream.getvalue())


def shown(html):
    """The page without its embedded records."""
    return html.split('<script type="application/json"')[0]


class TestMark:
    @pytest.mark.parametrize(
        ("grade", "calibration", "state", "words"),
        [
            ("A", "t", "usable", "grade A"),
            ("B", "t", "usable", "grade B"),
            ("C", "t", "care", "grade C"),
            ("uncalibrated", None, "care", "uncalibrated"),
            ("B", None, "care", "grade B, uncalibrated"),
            ("C", None, "care", "grade C, uncalibrated"),
            ("abstain", "t", "never", ""),
        ],
    )
    def test_three_states(self, grade, calibration, state, words):
        label = trust_label(grade=grade, calibration=calibration)
        assert mark_of(label).state == state
        assert about(label) == words

    @pytest.mark.parametrize("grade", ["A", "B", "C"])
    def test_a_quick_label_is_never_green_and_says_what_was_not_asked(self, grade):
        label = trust_label(grade=grade, level="quick", **CALIBRATED)
        assert mark_of(label).state == "care"
        assert about(label).startswith(f"grade {grade}, not asked: ")

    def test_no_two_states_share_a_symbol_or_a_word(self):
        marks = [mark_of(trust_label(grade=g, **CALIBRATED)) for g in ("A", "C", "abstain")]
        for kinds in (marks, list(FINDINGS.values())):
            for part in ("symbol", "word", "state"):
                assert len({getattr(mark, part) for mark in kinds}) == len(kinds)
                assert all(getattr(mark, part) for mark in kinds)

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_marks_can_be_read(self, theme):
        page_, ink = {"light": ("#ffffff", "#1b1b1f"), "dark": ("#171717", "#ececf1")}[theme]
        for shades in VERDICTS.values():
            mark, ground = shades[theme]
            assert contrast(mark, ground) >= 4.5
            assert contrast(mark, page_) >= 4.5
            assert contrast(ink, ground) >= 7

    @pytest.mark.parametrize(
        ("grade", "words"),
        [("A", "Usable"), ("C", "Use with care"), ("abstain", "Do not use as a reason")],
    )
    def test_the_page_and_the_terminal_say_it(self, grade, words):
        record = judged(grade, reasons=("it wavers",))
        html = page(record)
        note = next(a for a in Reader(html).all("div") if a.get("role") == "note")
        assert note["class"] == f"trust v-{mark_of(record.trust).state}"
        assert f"<strong>{words}</strong>" in html
        assert record.trust.says in html
        assert f"<strong>{words}</strong>" in fragment(record)
        text = plain_text(record)
        assert f"{mark_of(record.trust).symbol} {words}" in text
        assert record.trust.says in text

    def test_reasons_stand_beside_a_mark_that_warns_and_only_there(self):
        for grade, beside in (("A", False), ("C", True), ("abstain", True)):
            record = judged(grade, reasons=("it wavers",))
            assert (Reader(page(record)).all("li") != []) is beside
            assert ("\u2022 it wavers" in plain_text(record)) is beside
            assert ("Grade limited by" in plain_text(record)) is not beside


class TestColour:
    def test_only_words_told_from_zero_are_coloured(self):
        reader = Reader(page(judged(reliable=(True, False, False))))
        assert [mark["class"] for mark in reader.all("mark")] == ["p5"]
        assert [bar["class"] for bar in reader.all("rect") if bar["class"] != "ground"] == [
            "grey unsure",
            "p5",
            "grey unsure",
        ]
        assert len(colours(judged(reliable=(True, False, False)))) == 1
        assert len(colours(judged(reliable=(True, True, False)))) == 2
        assert colours(judged(reliable=(False, False, False))) == []

    def test_only_their_bars_are_coloured(self):
        assert len(bars(judged(reliable=(True, False, False)))) == 1
        assert len(bars(judged(reliable=(True, True, False)))) == 2
        assert len(bars(attribution(**ONE))) == 3
        assert bars(judged("abstain", reliable=(True, True, True))) == []

    def test_the_others_keep_their_number(self):
        record = judged(reliable=(True, False, False))
        titles = [a["title"] for a in Reader(page(record)).all("span") if "title" in a]
        assert titles == ["\u22122.00 nat", "+0.100 nat"]
        assert "\u22122.00" in plain_text(record)

    def test_a_score_that_may_be_zero_has_no_colour_whatever_the_masks_say(self):
        record = judged(
            reliable=(True, True, True),
            changes={"std_errors": [[0.1], [0.2], [0.2]], "scores": ((1.0,), (-2.0,), (0.1,))},
        )
        assert standing(record, 0).sure.tolist() == [True, True, False]
        record = judged(reliable=(True, True, True), changes={"scores": ((1.0,), (0.0,), (0.1,))})
        assert standing(record, 0).sure.tolist() == [True, False, True]

    def test_an_abstained_explanation_is_never_coloured(self):
        record = judged("abstain", reliable=(True, True, True), reasons=("no better than chance",))
        html = page(record)
        reader = Reader(html)
        assert reader.all("mark") == []
        assert not [a for a in reader.all("div") if a.get("class") in ("chart", "legend")]
        body = re.sub(r"<style>.*?</style>", "", shown(html), flags=re.DOTALL)
        assert not re.search(r'class="[pm]\d', body)
        assert "title=" not in body
        assert "no better than chance" in body
        # The scores remain for an auditor.
        for score in ("+1.00", "\u22122.00", "+0.100"):
            assert f'<td class="n">{score}</td>' in html
        text = plain_text(record)
        assert colours(record) == []
        assert "\u2588" not in text
        assert "raises" not in text
        assert "\u22122.00" in text
        assert "kept for an audit" in text

    def test_scores_beside_an_abstained_output_are_not_coloured_either(self):
        record = attribution(trust=trust_label(grade="abstain", **CALIBRATED))
        assert Reader(page(record)).all("mark") == []
        assert "nothing is coloured here either" in page(record)
        assert [colours(record, output=column) for column in (0, 1)] == [[], []]

    def test_an_output_that_was_not_judged_looks_as_it_did(self):
        record = attribution(trust=trust_label(**CALIBRATED))
        plain = replace(record, trust=None)
        assert standing(record, 1).sure.tolist() == standing(plain, 1).sure.tolist()
        assert "the trust label is of \u201cone\u201d." in page(record)
        assert colours(record, output=1) == colours(plain, output=1) != []
        assert len(colours(record, output=0)) == 1

    def test_without_a_label_the_look_stays_with_one_line(self):
        record = attribution(**ONE, std_errors=[[0.1], [0.2], [0.2]])
        html = page(record)
        assert shown(html).count("Not judged") == 1
        assert [mark["class"] for mark in Reader(html).all("mark")] == ["p5", "m10"]
        assert "Evidence" not in html
        text = plain_text(record)
        assert text.count("Not judged") == 1
        assert "Trust label" not in text

    def test_why_some_are_unshaded(self):
        found = standing(judged(), 0)
        assert faint_because(judged(), found) == "not distinguishable from zero"
        assert "2 of 3 scores are not distinguishable from zero: not" in plain_text(judged())
        assert "unshaded: not distinguishable from zero (2 of 3)" in page(judged())
        sampled = judged(changes={"std_errors": [[0.1], [0.2], [0.2]]})
        assert "two standard errors" in faint_because(sampled, standing(sampled, 0))
        assert faint_because(attribution(), standing(attribution(), 0)) == ""

    def test_unsigned_scores_are_judged_alike(self):
        record = replace(MASS, trust=trust_label(reliable=(False, True, False), **CALIBRATED))
        assert [mark["class"] for mark in Reader(page(record)).all("mark")] == ["p10"]
        assert len(colours(record)) == 1
        withheld = replace(record, trust=replace(record.trust, grade="abstain"))
        assert "\u2588" not in plain_text(withheld)


class TestEvidence:
    def test_every_number_of_the_record_is_on_the_page(self):
        label = trust_label(
            additive_share=Measurement(
                name="additive-share",
                value=0.315,
                unit="share",
                n=2,
                direction="higher",
                interval=None,
                specification=MethodSpec(name="AdditiveShare"),
            ),
            discarded=("typo in 'pain'",),
            notes=("a note of the label",),
            explanations=9,
            **CALIBRATED,
        )
        html = shown(page(attribution(**ONE, trust=label)))
        cells = [text.strip() for text in Reader(html.split("<main")[1].split("</main>")[0]).texts]
        for part in (
            "Better than chance?",
            "pass",
            "The scores tell which words matter (p = 0.001).",
            "pool-fidelity",
            "0.700",
            "correlation",
            "0.500 to 0.900 (95 %)",
            "0",
            "0.800",
            "2",
            "higher",
            "PoolFidelity. Interval: bootstrap",
            "pool=2",
            "100",
            "011",
            "0.200",
            "0.100",
            "0.400",
            "1.50",
            "a table, n 1,200",
            "1, not counted because the prediction changed: typo in 'pain'",
            "a note of the label",
        ):
            assert part in cells, part
        text = " ".join(cells)
        assert "0.315 of the variance of the answers" in text
        assert "41 model evaluations (41 inputs read" in text
        assert "9 explanations made again, 0.10 s" in text

    def test_an_uncalibrated_label_says_so(self):
        assert dict(label_facts(trust_label()))["Calibration"].startswith("uncalibrated")
        assert dict(label_facts(trust_label(**CALIBRATED)))["Calibration"] == "a table, n 1,200"

    def test_levels_near_one_are_not_rounded_to_it(self):
        assert interval(Interval(low=-1.0, high=1.0, level=0.999, how="h")) == (
            "\u22121.00 to 1.00 (99.9 %)"
        )
        assert interval(None) == "exact"

    def test_settings_are_told_apart(self):
        def one(name, **options):
            spec = MethodSpec(name=name, options={"pool": 64, "seed": 1, **options})
            return replace(trust_label().quantities[0].measurements[0], specification=spec)

        label = trust_label(
            quantities=(
                Quantity(
                    question="q", finding="pass", says="s", measurements=(one("A"), one("B", k=2))
                ),
                Quantity(question="r", finding="not_measured", says="no means"),
            )
        )
        view = label_view(label, "t")
        assert view["shared"] == "pool=64, seed=1"
        assert [m["specification"] for m in view["quantities"][0]["measurements"]] == [
            "A",
            "B: k=2",
        ]
        assert view["quantities"][1]["measurements"] == []

    def test_the_label_can_be_saved_from_the_page(self):
        record = judged()
        link = next(a for a in Reader(page(record)).all("a") if "download" in a)
        head, data = link["href"].split(",", 1)
        assert head == "data:application/json"
        assert TrustLabel.from_json(unquote(data)) == record.trust

    def test_the_strip_shows_the_masks_by_their_answers(self):
        view = label_view(judged().trust, "t", ["one"], 0)
        # Answers of two outputs, one name: which of them was judged is not known.
        assert view["pool"]["picture"] is None
        assert view["pool"]["answers"] == ["answer 1", "answer 2"]
        picture = label_view(judged().trust, "t", ["one", "two"], 0)["pool"]["picture"]
        assert (picture["low"], picture["high"]) == ("0.200", "0.500")
        # The second mask, 011, has the higher answer: it is the first row, from a third on.
        assert picture["cells"].startswith("M20.67 0h41.33")
        assert "M0.00 1h20.67" in picture["cells"]

    def test_no_masks_and_no_measurements(self):
        label = trust_label(
            quantities=(),
            pool=KeptPool(
                masks=(),
                values=frozen_array(np.zeros((0, 1))),
                full=frozen_array([1.0]),
                complete=True,
                seed=0,
                masker=MethodSpec(name="Deletion"),
            ),
        )
        html = shown(page(attribution(**ONE, trust=label)))
        assert "masks, and what the model answered" not in html
        assert "How each measurement was made" not in html
        assert "0 masks of 3 features, all there are" in plain_text(attribution(**ONE, trust=label))

    def test_everything_is_escaped(self):
        found = replace(
            trust_label().quantities[0].measurements[0],
            name=NASTY,
            unit=NASTY,
            specification=MethodSpec(name=NASTY, options={NASTY: NASTY}),
            interval=Interval(low=0.0, high=1.0, level=0.95, how=NASTY),
        )
        label = trust_label(
            output=NASTY,
            grade="C",
            says=NASTY,
            reasons=(NASTY,),
            calibration=NASTY,
            quantities=(
                Quantity(question=NASTY, finding="fail", says=NASTY, measurements=(found,)),
            ),
            discarded=(NASTY,),
            notes=(NASTY,),
        )
        base = attribution(**ONE)
        record = replace(base, outputs=(replace(base.outputs[0], name=NASTY),), trust=label)
        for html, scripts in ((page(record), 1), (fragment(record), 0), (label._repr_html_(), 0)):
            reader = Reader(html)
            assert len(reader.all("script")) == scripts
            assert not {tag for tag, _ in reader.elements} & {"b", "alert"}
            seen = "".join(reader.texts)
            assert "\x1b" not in shown(html)
            assert "\u202e" not in shown(html)
            assert "alert(1)" in seen
        for text in (plain_text(record), str(label), str(compare_labels(label, trust_label()))):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "alert(1)" in text

    def test_tables_have_captions_headers_and_names_of_their_own(self):
        html = page(judged())
        reader = Reader(html)
        assert len(reader.all("caption")) == len(reader.all("table"))
        assert all("scope" in th for th in reader.all("th"))
        names = [d["aria-label"] for d in reader.all("div") if d.get("role") == "region"]
        assert len(names) == len(set(names)) == 7
        ids = [a["id"] for _, a in reader.elements if "id" in a]
        assert len(ids) == len(set(ids))


class TestText:
    @pytest.mark.parametrize("width", [30, 60, 200])
    def test_any_width(self, width):
        record = judged("C", reasons=("\u9280\u884c " * 20,), says="\u9280\u884c " * 20)
        lines = plain_text(record, width=width).splitlines()
        assert max(cell_len(line) for line in lines) <= width

    def test_the_table_has_every_question(self):
        quantities = tuple(
            Quantity(question=f"Question {index}?", finding=finding, says=f"answer {index}")
            for index, finding in enumerate(FINDINGS)
        )
        text = plain_text(judged(quantities=quantities))
        for index, mark in enumerate(FINDINGS.values()):
            line = next(line for line in text.splitlines() if f"Question {index}?" in line)
            assert f"{mark.symbol} {mark.word}" in line
            assert f"answer {index}" in line

    def test_a_label_by_itself_has_its_measurements(self):
        label = trust_label(**CALIBRATED)
        text = " ".join(str(label).split())
        assert measured(label.quantities[0].measurements[0]) in text
        assert (
            "pool-fidelity 0.700 correlation, 0.500 to 0.900 (95 %), random 0, best 0.800" in text
        )
        assert "\u2713 Usable grade B" in text
        assert "\x1b" not in text
        html = label._repr_html_()
        assert html.startswith('<div class="wh">')
        assert "<strong>Usable</strong>" in html

    def test_the_mark_has_a_colour_of_the_terminal(self):
        for grade, code in (("A", "32"), ("C", "33"), ("abstain", "31")):
            stream = io.StringIO()
            console = Console(file=stream, width=80, force_terminal=True, color_system="standard")
            render_label(trust_label(grade=grade, **CALIBRATED), console)
            assert f"\x1b[1;{code}m" in stream.getvalue()


class TestDiff:
    def measurement(self, value=0.7, low=0.5, high=0.9, **options):
        return Measurement(
            name="pool-fidelity",
            value=value,
            unit="correlation",
            n=2,
            direction="higher",
            interval=Interval(low=low, high=high, level=0.95, how="bootstrap"),
            specification=MethodSpec(name="PoolFidelity", options={"pool": 2, **options}),
        )

    def label(self, found, finding="pass", **changes):
        quantity = Quantity(question="Q?", finding=finding, says="s", measurements=(found,))
        return trust_label(quantities=(quantity,), **changes)

    def test_alike_measurements_are_subtracted(self):
        before = self.label(self.measurement(), grade="B")
        after = self.label(self.measurement(0.4, 0.2, 0.45), "caution", grade="C")
        diff = compare_labels(before, after)
        found = diff.quantities[0].measurements[0]
        assert found.difference == pytest.approx(-0.3)
        assert found.apart
        assert found.unlike == ()
        assert diff.worse
        assert not compare_labels(after, before).worse
        text = str(diff)
        assert "* grade: B \u2192 C" in text
        assert "* Q?: \u2713 pass \u2192 ! caution" in text
        assert "0.700 \u2192 0.400 (\u22120.300 correlation, intervals apart)" in text
        assert "distinguishable from zero: the same features" in text
        assert "intervals overlap" in str(
            compare_labels(before, self.label(self.measurement(0.6, 0.4, 0.8)))
        )
        assert "(unchanged)" in str(compare_labels(before, before))

    def test_unlike_measurements_are_not(self):
        before = self.label(self.measurement(model="a", pool_seed=1))
        after = self.label(self.measurement(0.4, model="b", pool_seed=2))
        found = compare_labels(before, after).quantities[0].measurements[0]
        assert found.difference is None
        assert found.apart is None
        assert found.unlike == ("model: 'b' and 'a'", "pool_seed: 2 and 1")
        assert "not comparable: model: 'b' and 'a'" in str(compare_labels(before, after))
        across = compare_labels(before, after, across=VERSIONS)
        assert across.quantities[0].measurements[0].difference == pytest.approx(-0.3)
        assert "compared across model, pool_seed" in str(across)
        # Nothing else may differ, and a missing setting is one that differs.
        bigger = self.label(self.measurement(model="b", pool_seed=2, bins=3))
        found = compare_labels(before, bigger, across=VERSIONS).quantities[0].measurements[0]
        assert found.unlike == ("bins: 3 and not set",)

    def test_what_one_label_lacks(self):
        share = self.measurement()
        before = self.label(self.measurement(), reliable=(True, False, False), calibration="t")
        after = trust_label(
            quantities=(Quantity(question="R?", finding="fail", says="s"),),
            reliable=(True, True, False),
            additive_share=share,
            calibration=None,
        )
        diff = compare_labels(before, after)
        assert [(q.question, q.before, q.after) for q in diff.quantities] == [
            ("Q?", "pass", None),
            ("R?", None, "fail"),
        ]
        assert diff.quantities[0].measurements[0].after is None
        assert diff.reliable == (1,)
        assert diff.additive_share.before is None
        text = str(diff)
        assert "* Q?: \u2713 pass \u2192 not asked" in text
        assert "pool-fidelity: 0.700 \u2192 not measured" in text
        assert "* calibration: t \u2192 none" in text
        assert "* distinguishable from zero in one only: features 1" in text
        other = compare_labels(before, trust_label(reliable=(True,)))
        assert other.reliable is None
        assert "not comparable, the numbers of features" in str(other)

    def test_exact_values_are_intervals_of_one_point(self):
        exact = replace(self.measurement(), interval=None)
        near = replace(exact, value=0.71)
        diff = compare_labels(self.label(exact), self.label(near))
        assert diff.quantities[0].measurements[0].apart
        same = compare_labels(self.label(exact), self.label(exact))
        assert not same.quantities[0].measurements[0].apart

    def test_a_refused_subtraction_names_what_differs(self):
        with pytest.raises(OptionError, match=r"seed: 1 and 2"):
            self.measurement(seed=1).difference(self.measurement(seed=2))
        with pytest.raises(OptionError, match=r"seed: 1 and not set"):
            self.measurement(seed=1).difference(self.measurement())
        with pytest.raises(OptionError, match=r"metric: 'PoolFidelity' and 'Other'"):
            self.measurement().difference(
                replace(self.measurement(), specification=MethodSpec(name="Other"))
            )


def test_both_outputs_of_a_sampled_explanation(tmp_path):
    record = attribution(**SAMPLED, trust=trust_label(**CALIBRATED))
    path = tmp_path / "e.html"
    html = record.to_html(path)
    Reader(html)
    assert html == path.read_text("utf-8")
    assert html.count("Evidence behind this verdict") == 1
    assert str(record).count("Trust label of") == 1
