"""``whence.distill`` on what it cannot work with: a clear error, and no answer lost."""

import functools
import json
import os
import subprocess
import sys

import pytest
from tests.conftest import ROOT
from tests.students import worlds

import whence
from whence.core.errors import InputError, ModelOutputError, OptionError
from whence.students.families.rule_list import RuleList
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.teacher.teacher import Teacher

LABELS = ["accept", "reject"]
TEXTS = worlds.texts(320)
STUDENTS = [RuleList(rules=3)]


def by_rule(texts):
    return [[0.05, 0.95] if worlds.rule(t) == "reject" else [0.9, 0.1] for t in texts]


def teacher(function=by_rule, **options):
    model = whence.load(function, labels=LABELS)
    return Teacher.of(model, **{"gives": "probability", "version": "1", **options})


def turns(count, then):
    """By the rule for so many texts, then otherwise."""
    asked = 0

    def answers(texts):
        nonlocal asked
        asked += len(texts)
        return by_rule(texts) if asked <= count else then(texts)

    return answers


def distil(asked=None, texts=TEXTS, **options):
    asked = teacher() if asked is None else asked
    return whence.distill(asked, texts, **{"students": STUDENTS, "checks": worlds.BRIEF, **options})


@functools.cache
def plain():
    """Of the texts and the teacher that nothing is wrong with."""
    return distil()


class TestTeachers:
    @pytest.mark.parametrize("certain", [1.0, 0.9])
    def test_one_label_only(self, certain):
        cache = whence.MemoryCache()
        asked = teacher(lambda texts: [[certain, 1 - certain]] * len(texts), cache=cache)
        with pytest.raises(InputError, match=r"'accept' to all 320 texts.*accept, reject"):
            distil(asked)
        assert len(cache) == asked.asked == 320

    def test_one_label_only_of_bare_labels(self):
        asked = Teacher.of_labels(lambda texts: ["reject"] * len(texts), labels=LABELS)
        with pytest.raises(InputError, match="'reject' to all 320"):
            distil(asked)

    def test_a_label_given_once_is_refused_by_the_certificate(self):
        once = TEXTS[7]
        made = distil(
            teacher(lambda texts: [[0.0, 1.0] if t == once else [1.0, 0.0] for t in texts])
        )
        assert made.certificate.verdict == "refused"

    @pytest.mark.parametrize(
        ("then", "match"),
        [
            (
                lambda texts: [[0.2, 0.3, 0.5]] * len(texts),
                "expected 2 scores for each text .*, got 3",
            ),
            (lambda texts: [[1.0]] * len(texts), "expected 2 scores for each text .*, got 1"),
            (lambda texts: by_rule(texts)[:-1], r"for 32 texts, got \(31, 2\)"),
            (lambda texts: [], "0"),
            (lambda texts: [[float("nan"), 0.5]] * len(texts), "at least 0 and add up to 1"),
            (lambda texts: [[float("inf"), 0.0]] * len(texts), "at least 0 and add up to 1"),
            (lambda texts: [[0.4, 0.4]] * len(texts), "add up to 1"),
            (lambda texts: [[-0.2, 1.2]] * len(texts), "at least 0"),
            (lambda texts: [["a", "b"]] * len(texts), "callable"),
            (lambda texts: None, "callable"),
        ],
    )
    def test_bad_answers_midway_lose_none_before(self, then, match):
        cache = whence.MemoryCache()
        with pytest.raises(ModelOutputError, match=match) as caught:
            distil(teacher(turns(128, then), cache=cache))
        assert "stay in the cache" in str(caught.value)
        assert len(cache) == 128
        again = teacher(cache=cache)
        again.ask(TEXTS)
        assert again.asked == 320 - 128

    @pytest.mark.parametrize(
        "error", [RuntimeError("quota"), ValueError("quota"), OSError("quota")]
    )
    def test_an_error_midway_loses_nothing(self, error, tmp_path):
        def fails(texts):
            raise error

        with whence.DiskCache(tmp_path / "answers") as cache:
            with pytest.raises(ModelOutputError, match="after 128 of 320 texts: quota") as caught:
                distil(teacher(turns(128, fails), cache=cache))
            assert caught.value.__cause__ is error
            assert len(cache) == 128
        with whence.DiskCache(tmp_path / "answers") as cache:
            again = teacher(cache=cache)
            again.ask(TEXTS)
            assert (again.asked, len(cache)) == (320 - 128, 320)

    def test_an_error_among_the_edits_keeps_the_texts(self):
        def fails(texts):
            raise RuntimeError("quota")

        cache = whence.MemoryCache()
        with pytest.raises(ModelOutputError, match="quota"):
            distil(teacher(turns(352, fails), cache=cache))
        assert len(cache) == 352

    def test_one_bad_answer_of_a_batch_is_named(self):
        def answers(texts):
            return [
                [0.5, 0.6] if t == TEXTS[40] else p
                for t, p in zip(texts, by_rule(texts), strict=True)
            ]

        cache = whence.MemoryCache()
        with pytest.raises(ModelOutputError, match=TEXTS[40][:40]):
            distil(teacher(answers, cache=cache))
        assert len(cache) == 63

    def test_an_unknown_label_of_an_endpoint(self):
        def answers(texts):
            return ["perhaps" if text == TEXTS[40] else worlds.rule(text) for text in texts]

        with pytest.raises(ModelOutputError, match=r"'perhaps'.*accept, reject"):
            distil(Teacher.of_labels(answers, labels=LABELS))


class TestTexts:
    @pytest.mark.parametrize("count", [0, 1, 10, 299])
    def test_too_few(self, count):
        asked = teacher()
        with pytest.raises(InputError, match="expected 300 groups"):
            distil(asked, TEXTS[:count])
        assert asked.asked == 0

    @pytest.mark.parametrize("texts", [["the same words"] * 1000, TEXTS[:100] * 10])
    def test_the_same_again_and_again(self, texts):
        asked = teacher()
        with pytest.raises(InputError, match="groups of near-duplicates"):
            distil(asked, texts)
        assert asked.asked == 0

    @pytest.mark.parametrize("empty", ["", "   ", "\n\t", "\u00a0"])
    def test_empty(self, empty):
        asked = teacher()
        with pytest.raises(InputError, match="text 5 is empty; leave it out"):
            distil(asked, [*TEXTS[:5], empty, *TEXTS[5:]])
        assert asked.asked == 0

    def test_half_a_surrogate_pair(self):
        with pytest.raises(InputError, match="text 320 holds half a surrogate pair"):
            distil(texts=[*TEXTS, "paid \ud800 late"])

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"slices": {"s\ud800": [True] * 320}}, "name of a slice"),
            ({"shifted": {"s\ud800": TEXTS}}, "name of a corpus"),
            ({"features": ReadableFeatures(lexicons={"s\ud800": ("late",)})}, "name of a lexicon"),
            ({"features": ReadableFeatures(lexicons={"s": ("\ud800",)})}, "word of a lexicon"),
        ],
    )
    def test_half_a_surrogate_pair_in_a_name(self, options, says):
        asked = teacher()
        with pytest.raises(InputError, match=rf"the {says} '.*' holds half a surrogate pair; mend"):
            distil(asked, **options)
        assert asked.asked == 0

    def test_half_a_surrogate_pair_in_a_label(self):
        asked = Teacher.of_labels(lambda ts: ["no\ud800"] * len(ts), labels=["no\ud800", "yes"])
        with pytest.raises(InputError, match=r"the label .* holds half a surrogate pair; mend"):
            distil(asked)
        assert asked.asked == 0

    def test_any_sequence_will_do(self):
        assert distil(texts=tuple(TEXTS)).student.to_json() == plain().student.to_json()

    @pytest.mark.parametrize("strange", ["...", "😀 😀", "\u202eetal", "a" * 50_000, "x " * 20_000])
    def test_strange_texts_are_taken_as_they_are(self, strange):
        made = distil(texts=[*TEXTS, strange])
        assert made.certificate.agreement.n >= 60
        assert made.student.predict([strange]) in (["accept"], ["reject"])

    def test_no_feature_in_enough_texts(self):
        with pytest.raises(InputError, match="smaller least_texts"):
            distil(features=ReadableFeatures(least_texts=1000))


class TestGold:
    @pytest.mark.parametrize("count", [0, 1, 319, 321])
    def test_of_another_length(self, count):
        asked = teacher()
        with pytest.raises(InputError, match=f"one gold label a text, got {count} for 320 texts"):
            distil(asked, gold=["accept"] * count)
        assert asked.asked == 0

    @pytest.mark.parametrize("strange", ["maybe", "Accept", ""])
    def test_unknown(self, strange):
        asked = teacher()
        with pytest.raises(InputError, match=r"among the teacher's \(accept, reject\), got"):
            distil(asked, gold=["accept"] * 319 + [strange])
        assert asked.asked == 0


class TestNames:
    def test_unknown_student(self):
        with pytest.raises(OptionError, match=r"unknown student 'rule-3'.*rule-list-3"):
            plain()["rule-3"]

    @pytest.mark.parametrize("students", [[], [RuleList(), RuleList()]])
    def test_students(self, students):
        asked = teacher()
        with pytest.raises(OptionError):
            distil(asked, students=students)
        assert asked.asked == 0

    def test_options_of_students(self):
        with pytest.raises(OptionError, match="features=0"):
            distil(students=[SparseLinear(features=0)])

    @pytest.mark.parametrize("name", ["target", "level"])
    @pytest.mark.parametrize("share", [0.0, 1.0, 1.5, -0.1, float("nan")])
    def test_shares_are_checked_before_any_question(self, name, share):
        asked = teacher()
        with pytest.raises(OptionError, match=name):
            distil(asked, **{name: share})
        assert asked.asked == 0


WRONG = {
    "a function for a teacher": (["by_rule", "TEXTS"], "Teacher"),
    "a model that says not what it gives": (
        ["whence.load(by_rule, labels=LABELS)", "TEXTS"],
        "gives='probability'",
    ),
    "a number among the texts": (["teacher", "[*TEXTS[:5], 3]"], "text 5 is a int"),
    "nothing among the texts": (["teacher", "[*TEXTS[:5], None]"], "text 5 is a NoneType"),
    "bytes among the texts": (["teacher", "[*TEXTS[:5], b'late']"], "text 5 is a bytes"),
    "gold of two kinds": (["teacher", "TEXTS", "gold=['maybe', 1] * 160"], "among the teacher's"),
    "a name of no student": (["teacher", "TEXTS", "students=['rulez-10']"], "rules"),
    "a seed below 0": (["teacher", "TEXTS", "seed=-1"], "seed"),
}
TRY = """
import json
import whence
from tests.students.test_bad_input import LABELS, TEXTS, WRONG, by_rule, teacher as made
teacher = made()
found = {}
for name, (arguments, _) in WRONG.items():
    try:
        eval(f"whence.distill({', '.join(arguments)})")
        found[name] = None
    except whence.WhenceError as error:
        found[name] = ["WhenceError", str(error)]
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]
    found[name].append(teacher.asked)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answered():
    """What each of ``WRONG`` ends in, in a process that checks no types, either."""
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    told = subprocess.run(
        [sys.executable, "-c", TRY], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", WRONG)
def test_what_a_caller_without_a_type_checker_gives(answered, name):
    kind, message, asked = answered[name]
    assert kind == "WhenceError", message
    assert WRONG[name][1] in message
    assert asked == 0
