"""A distillation on a page and in a terminal: what is said, in which order, and how safely."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app.distilled import NASTY, answering, curve, distilled, hostile, region
from tests.app.test_views import Reader

from whence.app.distill.certificate import certificate_groups
from whence.app.distill.curve_charts import CURVES, answering_picture, learning_picture
from whence.app.distill.frontier_chart import NARROW, WIDE, frontier_picture, spread
from whence.app.distill.html import fragment, page
from whence.app.distill.rows import flip_rows
from whence.app.distill.student import student_view
from whence.app.distill.terminal import FIRST, plain_text
from whence.app.distill.terminal_chart import frontier_plot, keys
from whence.app.distill.wording import (
    MARKS,
    answering_sentence,
    bound,
    curve_sentence,
    prices,
    region_lines,
    region_mark,
    share,
    two_measurements,
    verdict_sentence,
)
from whence.core.display import fragment_of, page_of, text_of
from whence.core.statistics.proportions import Interval, proportion
from whence.students.certificate.certificate import VERDICTS
from whence.students.certificate.frontier import Frontier, Rung
from whence.students.families.registry import student_by_name
from whence.students.families.rule_list import FittedRuleList

KINDS = (
    "rule-list-4",
    "sparse-linear-40",
    "decision-tree-6",
    "scorecard-5",
    "prototypes-4",
    "tree-sum-4",
    "additive-6",
)


def judged(verdict):
    found = distilled()
    return replace(found, certificate=replace(found.certificate, verdict=verdict))


def full():
    return replace(distilled(), searched=True, regions=(region(), region(few=True)), curve=curve())


def rung(name, reading, hits, *, control=False, best=False):
    return Rung(
        name=name,
        reading=reading,
        agreement=proportion(hits, 200),
        kappa=Interval(0.5, 0.4, 0.6, 200),
        readable=not control,
        control=control,
        best=best,
    )


def crowded():
    """Students close together and controls on nearly one height."""
    students = [rung(f"sparse-linear-{n}", 20 + n, 150 + n, best=n == 9) for n in range(10)]
    controls = [
        rung(name, 0, hits, control=True)
        for name, hits in (
            ("majority", 100),
            ("permuted", 101),
            ("full linear", 160),
            ("opaque", 161),
        )
    ]
    return Frontier(
        rungs=(*students, *controls), chosen="sparse-linear-3", transparency=None, brevity=None
    )


class TestWording:
    @given(st.floats(0, 1))
    def test_bounds_are_rounded_so_that_they_still_hold(self, value):
        low = float(bound(value).rstrip("%")) / 100
        high = float(bound(value, down=False).rstrip("%")) / 100
        assert low <= value + 1e-9 <= high + 2e-9
        assert high - low < 0.0011

    def test_a_share_is_never_rounded_to_all_or_nothing(self):
        assert share(0.99999) == "over 99.9 %"
        assert share(1e-6) == "under 0.1 %"

    def test_every_verdict_has_a_mark_and_a_sentence_of_its_own(self):
        said = {verdict_sentence(judged(verdict).certificate) for verdict in VERDICTS}
        assert len(said) == len(VERDICTS) == len({MARKS[v].symbol for v in VERDICTS})

    def test_only_the_best_verdict_lets_the_student_stand_in_alone(self):
        alone = [
            v
            for v in VERDICTS
            if "in the teacher's place on" in verdict_sentence(judged(v).certificate)
        ]
        assert alone == ["faithful enough to replace"]

    def test_two_agreements_name_their_texts_counts_and_controls(self):
        found = distilled()
        lifts = {
            name: replace(lift, control=proportion(72, 84))
            for name, lift in found.certificate.lifts.items()
        }
        certificate = replace(found.certificate, agreement=proportion(68, 84), lifts=lifts)
        found = replace(found, certificate=certificate)
        chart = {r.name: r for r in found.frontier.rungs if r.name in (*lifts, found.chosen)}
        says = two_measurements(found)
        assert f"here on the {chart[found.chosen].agreement.n} of \u201creport\u201d" in says
        assert "there on the 84 of \u201ccertify\u201d" in says
        assert (
            "The chosen student 100 % (93.1 % to 100 %) here, 81.0 % (72.5 % to 87.7 %) there"
            in says
        )
        assert says.count("85.7 % (77.8 % to 91.6 %) there") == len(set(chart) & set(lifts)) > 0
        for view in (plain_text(found, width=4000), page(found), fragment(found)):
            assert "81.0 % (72.5 % to 87.7 %) there" in " ".join(view.split())

    @pytest.mark.parametrize(
        ("low", "high", "says"),
        [
            (0.01, 0.05, "+3.0 points (+1.0 to +5.0"),
            (-0.05, -0.01, "none"),
            (-0.01, 0.02, "not distinguishable from zero"),
        ],
    )
    def test_a_price_is_told_from_zero_or_said_not_to_be(self, low, high, says):
        price = Interval((low + high) / 2, low, high, 150)
        found = distilled()
        found = replace(found, frontier=replace(found.frontier, transparency=price, brevity=None))
        (line,) = prices(found)
        assert line.startswith(f"Price of transparency: {says}")
        assert "n = 150" in line

    def test_answer_or_ask(self):
        found = replace(distilled(), answering=answering())
        assert "Where its certainty is 0.800 or more" in answering_sentence(found)
        assert "60.0 % of texts" in answering_sentence(found)
        always = replace(distilled(), answering=answering(certified=False))
        assert answering_sentence(always).startswith("Always ask the teacher: no certainty")
        assert "refused" in answering_sentence(replace(judged("refused"), answering=answering()))

    def test_more_questions(self):
        assert "more questions for +0.02" in curve_sentence(curve())
        assert "too few" in curve_sentence(curve(law=False))

    def test_a_region_says_where_how_often_and_what_follows(self):
        where, says = region_lines(region())
        assert where == "Contains 'than', at most 20 words"
        assert (
            says
            == "agrees in 76.5 %, at least 68.5 % and at most 83.3 % (n = 102); elsewhere 95.0 %"
        )
        assert region_mark(region()) == "confirmed on a holdout; the teacher is asked here"
        assert "too few texts" in region_lines(region(few=True))[1]


class TestRows:
    def test_every_number_of_the_certificate_has_its_n(self):
        groups = certificate_groups(distilled().certificate)
        rows = [row for group in groups for row in group.rows]
        names = [row.name for row in rows]
        for name in (
            "agreement",
            "kappa",
            "macro-F1",
            "Brier",
            "teacher with itself",
            "one answer to all",
        ):
            assert name in names
        agreement = next(row for row in rows if row.name == "agreement")
        assert agreement.n == f"{distilled().certificate.agreement.n:,}"
        assert agreement.bound.startswith("at least ")
        assert all(row.n and row.part for row in rows)

    def test_too_few_texts_get_no_number(self):
        found = replace(distilled().certificate, slices={"rare": None})
        rows = [row for group in certificate_groups(found) for row in group.rows]
        rare = next(row for row in rows if row.name == "rare")
        assert rare.value == "too few texts"
        assert rare.place is None

    def test_flips_are_shares_of_what_changed(self):
        found = distilled().certificate.flips
        rows = flip_rows(found)
        assert len(rows) == len(found)
        changed = [int(row.changed) for row in rows]
        assert changed == sorted(changed, reverse=True)
        silent = [row for row in rows if row.changed == "0"]
        assert all(row.recall == "not measured" and row.place is None for row in silent)


class TestPictures:
    @given(
        st.lists(st.floats(0, 300), min_size=1, max_size=12),
        st.floats(1, 20),
    )
    def test_labels_are_spread_in_order_and_inside(self, wanted, gap):
        places = spread(wanted, gap, 0.0, 300.0)
        order = np.argsort(np.array(wanted), kind="stable")
        apart = np.diff(np.array(places)[order])
        assert (apart >= min(gap, 300 / max(len(wanted) - 1, 1)) - 1e-6).all()
        assert min(places) >= -1e-6
        assert max(places) <= 300 + 1e-6

    @pytest.mark.parametrize("sheet", [WIDE, NARROW], ids=lambda s: s.name)
    def test_a_frontier_draws_every_rung_inside_its_sheet(self, sheet):
        found = crowded()
        picture = frontier_picture(found, "sparse-linear-3", sheet)
        assert len(picture["students"]) == 10
        assert [p["name"] for p in picture["students"] if p["chosen"]] == ["sparse-linear-3"]
        for place in picture["students"]:
            assert sheet.left <= place["x"] <= sheet.width - sheet.right
            assert (
                sheet.top
                <= place["high"]
                <= place["y"]
                <= place["low"]
                <= sheet.height - sheet.bottom
            )
        heights = sorted(c["text_y"] for c in picture["controls"])
        assert min(np.diff(heights)) >= sheet.letter

    def test_students_on_one_spot_share_a_name(self):
        students = tuple(rung(f"sparse-linear-{n}", 40, 150) for n in range(4))
        found = Frontier(rungs=students, chosen="sparse-linear-2", transparency=None, brevity=None)
        (name,) = frontier_picture(found, "sparse-linear-2", WIDE)["names"]
        assert name["name"] == "sparse-linear-2 and 3 more"

    def test_a_learning_curve_with_and_without_a_law(self):
        for sheet in CURVES:
            drawn = learning_picture(curve(), sheet)
            assert len(drawn["points"]) == 4
            assert drawn["curve"]
            assert drawn["ahead"]
            bare = learning_picture(curve(law=False), sheet)
            assert not bare["curve"]
            assert len(bare["points"]) == 4

    def test_the_certified_threshold_is_marked_where_there_is_one(self):
        assert answering_picture(answering(), CURVES[0])["mark"]["text"] == "from 0.80 on"
        drawn = answering_picture(answering(certified=False), CURVES[0])
        assert drawn["mark"] is None
        assert len(drawn["points"]) == 5
        assert drawn["rows"][0][2] == "too few texts"


class TestStudents:
    @pytest.mark.parametrize("name", KINDS)
    def test_every_family_is_shown_whole(self, name):
        found = distilled((student_by_name(name),))
        text = page(found)
        reader = Reader(text)
        shown = " ".join(reader.texts)
        for column in range(len(found.student.features)):
            if student_view(found.student)["kind"] != "cases":
                assert found.student.features.describe(column) in shown
        assert f"The student, whole: {name}" in shown

    def test_two_labels_have_one_weight_a_feature(self):
        found = distilled((student_by_name("sparse-linear-10"),)).student
        shown = student_view(found)
        row = shown["rows"][0]
        column = [found.features.describe(j) for j in range(len(found.features))].index(row["name"])
        weight = found.weights[column, 1] - found.weights[column, 0]
        assert row["cells"][0]["number"].replace("\u2212", "-") == f"{weight:+#.3g}"
        assert shown["labels"] == ["accept", "reject"]

    def test_a_tree_goes_on_in_lines_and_branches_only_where_both_ways_do(self):
        rows = student_view(distilled((student_by_name("decision-tree-6"),)).student)["rows"]
        assert rows[0]["question"]
        assert rows[-1]["question"] is None
        assert all(row["ends"] for row in rows[:-1])


class TestTerminal:
    def test_the_verdict_comes_first_and_then_the_student(self):
        lines = text_of(full()).splitlines()
        assert lines[0] == "\u2713 Faithful enough to replace"
        assert "in the teacher's place" in lines[1]
        text = "\n".join(lines)
        order = ["The student rule-list-4", "Would a longer student agree more?", "Price of transparency",
                 "The certificate", "Does its answer change", "Where not to trust it",
                 "When to ask the teacher"]  # fmt: skip
        places = [text.index(part) for part in order]
        assert places == sorted(places)
        assert "else if 'late' and no 'waived'" in text
        assert "\u2022 Contains 'than', at most 20 words" in text

    @pytest.mark.parametrize("width", [50, 80, 120])
    def test_no_line_is_wider_than_the_terminal_and_none_has_codes(self, width):
        text = plain_text(full(), width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "\x1b" not in text

    def test_a_long_student_is_cut_and_says_so(self):
        rules = distilled().student
        many = FittedRuleList(rules.labels, rules.features, rules.rules[:1] * 60 + rules.rules[-1:])
        text = text_of(replace(distilled(), students={"rule-list-4": many}))
        assert f"and {61 - FIRST} lines more, not shown here" in text
        assert text.count("if 'fraud'") == FIRST

    def test_the_plot_has_a_letter_for_each_student_and_a_capital_for_the_chosen(self):
        found = crowded()
        drawn = frontier_plot(found, "sparse-linear-3", 100, 16)
        inside = [
            line.split("\u2502", 1)[-1].split("\u2524")[-1] for line in drawn.splitlines()[:16]
        ]
        letters = "".join(inside)
        assert "D" in letters
        assert all(letter in letters for letter in "abcefghij")
        assert list(keys(found).values()) == list("abcdefghij")
        for name in ("one answer to all", "shuffled teacher", "every feature", "unreadable"):
            assert name in drawn

    def test_hostile_texts_move_no_cursor(self):
        text = text_of(hostile())
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "U+001B" in text


class TestPage:
    def test_it_is_well_formed_and_asks_for_nothing(self):
        text = page(full())
        reader = Reader(text)
        assert "://" not in text
        assert reader.all("script") == [{"type": "application/json", "class": "wh-record"}]
        for tag in ("link", "img", "iframe"):
            assert reader.all(tag) == []
        ids = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
        assert len(ids) == len(set(ids))

    def test_every_part_is_there(self):
        text = " ".join(Reader(page(full())).texts)
        for part in ("The student, whole: rule-list-4", "Would a longer student agree more?", "The certificate",
                     "Does its answer change", "Where not to trust it", "When to ask the teacher",
                     "Would more questions help?", "Model card", "Where it comes from"):  # fmt: skip
            assert part in text
        for part in ("fit", "select", "certify", "report"):
            assert distilled().digests[part] in text

    def test_tables_have_captions_and_pictures_have_words(self):
        reader = Reader(page(full()))
        assert len(reader.all("caption")) == len(reader.all("table"))
        for tag in ("svg", "div"):
            for attrs in reader.all(tag):
                if attrs.get("role") == "img":
                    assert attrs["aria-label"]

    def test_headings_go_down_one_at_a_time(self):
        reader = Reader(page(full()))
        levels = [int(tag[1]) for tag, _ in reader.elements if tag in ("h1", "h2", "h3")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert max(np.diff(levels)) <= 1

    @pytest.mark.parametrize("verdict", VERDICTS)
    def test_the_mark_is_a_word_and_a_sentence(self, verdict):
        text = page(judged(verdict))
        assert MARKS[verdict].word in text
        assert f'class="verdict v-{MARKS[verdict].state}"' in text

    def test_the_record_inside_is_what_was_measured(self):
        text = page(hostile()).split('class="wh-record">')[1].split("</script>")[0]
        tree = json.loads(text)
        assert tree["certificate"]["verdict"] == hostile().certificate.verdict
        assert tree["student"]["labels"] == ["accept", NASTY]

    @pytest.mark.parametrize("show", [page, fragment])
    def test_hostile_texts_stay_texts(self, show):
        text = show(hostile())
        reader = Reader(text)
        scripts = [attrs for attrs in reader.all("script") if attrs.get("class") != "wh-record"]
        assert scripts == []
        assert "<script>alert" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text

    def test_nothing_is_shown_where_nothing_was_measured(self):
        found = distilled()
        bare = replace(
            found, curve=None, regions=(), certificate=replace(found.certificate, flips={})
        )
        text = " ".join(Reader(page(bare)).texts)
        for part in (
            "Would more questions help?",
            "Where not to trust it",
            "Does its answer change",
        ):
            assert part not in text


class TestDisplay:
    def test_what_a_notebook_shows(self, tmp_path):
        found = distilled()
        assert text_of(found) == text_of(found)
        assert fragment_of(found) == fragment(found)
        assert page_of(found, tmp_path / "p.html") == page(found)
        assert (tmp_path / "p.html").read_text("utf-8") == page(found)

    def test_two_cells_share_no_id(self):
        first, second = fragment(distilled()), fragment(hostile())
        ids = [a["id"] for t in (first, second) for _, a in Reader(t).elements if "id" in a]
        assert len(ids) == len(set(ids)) >= 2
