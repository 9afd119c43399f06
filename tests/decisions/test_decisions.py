"""Edits, subsets and anchors on rules whose answers are known, and on what cannot be answered."""

from __future__ import annotations

import itertools
import json
import re
from hashlib import sha256

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES
from typer.testing import CliRunner

import whence
from whence.app.cli.main import app
from whence.core import BudgetError, CapabilityError, InputError, OptionError, read_record
from whence.core.errors import ModelOutputError
from whence.core.other_explanations import Counterfactual, Rule
from whence.core.targets import Contrast
from whence.decisions.kl_lucb import Arm, best_arms
from whence.decisions.minimal_subset import minimal_subset
from whence.decisions.number_boundary import nearest_flip
from whence.decisions.substitutes import numeral

CREDIT = "Payslips prove 8 months with the employer, the minimum being 6."


def asks(rule):
    """A model that says yes where a rule of its text holds, and counts the texts it reads."""

    def answer(texts):
        answer.read += len(texts)
        return [[0.0, 1.0] if rule(text) else [1.0, 0.0] for text in texts]

    answer.read = 0
    return answer


def model_of(rule):
    return whence.load(asks(rule), labels=["no", "yes"])


def has(*words):
    return lambda text: all(word in text.split() for word in words)


def either(text):
    return "alpha" in text or "beta" in text


def exclusive(text):
    return ("alpha" in text) != ("beta" in text)


def earns(text):
    return any(int(n.replace(",", "")) >= 7350 for n in re.findall(r"\d[\d,]*", text))


@pytest.mark.parametrize(
    ("rule", "text", "edited", "cause"),
    [
        (has("alpha"), "one alpha two", "one two", ["deletion"]),
        (has("alpha", "beta"), "alpha one beta", "alpha one", ["deletion"]),
        (either, "one alpha two beta", "one two", ["deletion", "deletion"]),
        (exclusive, "one alpha two", "one two", ["deletion"]),
        (has("good"), "a good one", "a bad one", ["substitution"]),
        (lambda t: " not " not in t, "It is safe", "It is not safe", ["negation"]),
        (earns, "He earns £12,000 now", "He earns £7,349 now", ["number"]),
        (lambda t: not earns(t), "He earns 900 now", "He earns 7350 now", ["number"]),
    ],
)
def test_the_smallest_edit_of_a_known_rule(rule, text, edited, cause):
    model = model_of(rule)
    first = whence.counterfactuals(model, text)[0]
    assert first.edited_text == edited
    assert [edit.how for edit in first.edits] == cause
    assert first.minimal is True
    assert first.flipped
    assert rule(first.edited_text) != rule(text)


def test_every_flip_is_minimal_and_no_two_share_a_word():
    found = whence.counterfactuals(model_of(has("a1", "b1", "c1")), "a1 x b1 y c1", count=5)
    assert {edit.start for record in found for edit in record.edits} == {0, 4, 9}
    assert len(found) == 3

    def rule(text):
        return sum(word in text for word in ("a1", "b1", "c1", "d1")) >= 2

    text = "a1 x b1 y c1 z d1"
    [record] = whence.counterfactuals(model_of(rule), text)
    assert len(record.edits) == 3
    for size in (0, 1, 2):
        for edits in itertools.combinations(record.edits, size):
            changed = text
            for edit in reversed(edits):
                changed = changed[: edit.start] + edit.text + changed[edit.end :]
            assert rule(changed) == rule(text)


def test_a_number_has_both_ends_of_its_bracket():
    edge = whence.counterfactuals(model_of(earns), "He earns £12,000 now")[0].boundary
    assert (edge.original, edge.held, edge.flipped, edge.step) == (12000, 7350, 7349, 1)
    first = whence.counterfactuals(whence.load("embedded:credit"), CREDIT)[0]
    assert (first.boundary.held, first.boundary.flipped) == (6, 5)
    assert "at 6 the decision holds, at 5 it has changed" in " ".join(str(first).split())


def test_a_bracket_that_the_budget_cuts_short_stays_true():
    asked = []

    def flips(steps):
        asked.extend(steps)
        return [None if len(asked) > 24 else step <= 7350 for step in steps]

    _, edge = nearest_flip(numeral("12,000"), flips)
    assert edge.flipped <= 7350 < edge.held
    assert edge.held - edge.flipped > 1


@pytest.mark.parametrize(
    "text", ["no numbers", "12:30", "1/2/2020", "007", "B12", "3 and 4", "9" * 17]
)
def test_what_is_no_single_number_is_left_alone(text):
    assert numeral(text) is None


def test_numbers_keep_their_form():
    assert numeral("1,250.50").written(99950) == "999.50"
    assert numeral("42 %").written(7) == "7 %"
    assert numeral("0.5").steps == 5


def test_a_model_that_never_flips_is_a_result():
    [record] = whence.counterfactuals(model_of(lambda text: True), "one alpha two")
    assert (record.edits, record.flipped, record.outcome) == ((), False, "not_converged")
    assert re.match(r"none found within \d+ evaluations", record.advice[0])
    [spent] = whence.counterfactuals(model_of(lambda text: True), "one alpha two", budget=4)
    assert spent.outcome == "budget_exhausted"
    assert spent.provenance.cost.evaluations <= 4


@pytest.mark.parametrize("budget", [3, 7, 20])
def test_the_budget_holds(budget):
    model = model_of(either)
    [record, *_] = whence.counterfactuals(model, "one alpha two beta three four", budget=budget)
    assert record.provenance.cost.evaluations <= budget


def test_the_guide_comes_first_and_is_paid_for():
    model = whence.load("embedded:credit")
    guided = whence.counterfactuals(
        model, CREDIT, count=1, budget=60, options={"guide": "input-x-gradient"}
    )
    assert guided[0].flipped
    assert guided[0].provenance.cost.gradient_evaluations >= 1


def test_a_wanted_decision_and_a_threshold():
    three = whence.load(
        lambda texts: [[float("a" in t), 0.5 * ("b" in t), 0.2] for t in texts],
        labels=["one", "two", "three"],
    )
    [record, *_] = whence.counterfactuals(three, "a b x", wanted="three")
    assert record.edited_decision.text == "three"
    assert len(record.edits) == 2
    number = whence.load(lambda texts: [float(t.count("late")) for t in texts])
    [record] = whence.counterfactuals(number, "late and late", threshold=1.5, count=1)
    assert record.edited_decision.text == "score below 1.5"
    with pytest.raises(OptionError, match="threshold=NUMBER"):
        whence.counterfactuals(number, "late and late")


def test_chance_is_refused():
    rng = np.random.default_rng(0)
    model = whence.load(lambda texts: rng.random((len(texts), 2)), labels=["no", "yes"])
    for search in (whence.counterfactuals, whence.subsets, whence.anchor):
        with pytest.raises(ModelOutputError, match="same text"):
            search(model, "one two three")


def test_a_tie_is_noted():
    model = whence.load(lambda texts: [[1.0, 1.0] for _ in texts], labels=["no", "yes"])
    [record] = whence.counterfactuals(model, "one two")
    assert any("edge" in note for note in record.notes)


def test_tiny_models_answer_as_the_bare_module():
    model = whence.load(FAMILIES["bert"]().pair)
    text = "He denies chest pain but reports a mild cough ."
    for record in whence.counterfactuals(model, text, budget=200):
        encoding = model.encode(record.edited_text)
        assert model.decide(encoding).text == record.edited_decision.text
    language_model = whence.load(FAMILIES["gpt2"]().pair, task="causal")
    contrast = Contrast(label=" mild", against=" chest")
    [record, *_] = whence.counterfactuals(language_model, text, target=contrast, budget=120)
    assert record.decision.text in (" mild", " chest")


def test_a_text_longer_than_the_model_is_refused():
    model = whence.load(FAMILIES["bert"]().pair)
    for search in (whence.counterfactuals, whence.subsets, whence.anchor, whence.interactions):
        with pytest.raises(InputError):
            search(model, "pain " * 2000)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"budget": 2}, BudgetError, "3 evaluations"),
        ({"count": 0}, OptionError, "count of 1"),
        ({"wanted": "maybe"}, OptionError, "unknown decision"),
        ({"wanted": "yes"}, OptionError, "another decision"),
        ({"options": {"kinds": "typo"}}, OptionError, "unknown kind of edit"),
        ({"options": {"most_edit": 3}}, OptionError, "did you mean 'most_edits'"),
        ({"options": {"beam": 0}}, OptionError, "beam of 1"),
        ({"language_model": 3}, CapabilityError, "causal or masked"),
    ],
)
def test_bad_settings_are_refused(changes, error, says):
    with pytest.raises(error, match=says):
        whence.counterfactuals(model_of(has("alpha")), "one alpha", **changes)


def texts_of(records):
    return [record.texts for record in records]


@pytest.mark.parametrize(
    ("rule", "text", "sufficient", "necessary"),
    [
        (has("a", "b"), "a x b y", [("a", "b")], [("a",), ("b",)]),
        (either, "alpha x beta", [("beta",), ("alpha",)], [("alpha", "beta")]),
        (exclusive, "alpha x", [("alpha",)], [("alpha",)]),
        (has("a"), "a", [("a",)], [("a",)]),
    ],
)
def test_subsets_of_a_known_rule(rule, text, sufficient, necessary):
    model = model_of(rule)
    found = whence.subsets(model, text)
    assert texts_of(found) == sufficient
    assert all(record.minimal for record in found)
    assert texts_of(whence.subsets(model, text, kind="necessary")) == necessary


def test_a_constant_model_needs_nothing():
    model = model_of(lambda text: True)
    [enough] = whence.subsets(model, "one two")
    assert (enough.features, enough.outcome) == ((), "degenerate")
    [needed] = whence.subsets(model, "one two", kind="necessary")
    assert (needed.features, needed.outcome) == ((), "degenerate")
    assert "none found" in needed.advice[0]
    ruled = whence.anchor(model, "one two")
    assert (ruled.features, ruled.outcome, ruled.precision) == ((), "degenerate", 1.0)


def test_a_sufficient_subset_reaches_the_value_asked_for():
    model = whence.load(
        lambda texts: [[0.5, sum(w in t for w in ("a", "b", "c")) / 2] for t in texts],
        labels=["no", "yes"],
    )
    assert len(whence.subsets(model, "a x b y c", count=1)[0].features) == 2
    assert len(whence.subsets(model, "a x b y c", count=1, least=1.5)[0].features) == 3
    with pytest.raises(OptionError, match="what the whole text"):
        whence.subsets(model, "a x b y c", least=1.6)
    with pytest.raises(BudgetError, match="need 7 evaluations"):
        whence.subsets(model, "a x b y c", budget=6)


@pytest.mark.parametrize("size", [3, 12])
def test_a_minimal_subset_has_no_subset_that_works(size):
    items = tuple(range(size))
    assert minimal_subset(items, lambda sets: [{1, 2} <= set(s) for s in sets]) == ((1, 2), True)
    # No single one can be spared, although two together could: said as unknown above eight.
    ten = tuple(range(10))
    assert minimal_subset(ten, lambda sets: [len(s) % 2 == 0 for s in sets]) == (ten, None)


def test_an_anchor_of_a_conjunction():
    record = whence.anchor(model_of(has("a", "b")), "a x b y z")
    assert record.texts == ("a", "b")
    assert record.precision == 1.0
    # 300 of 300: the exact bound is 0.05 ** (1 / 300).
    assert record.precision_interval.low == pytest.approx(0.05 ** (1 / 300))
    assert record.coverage == 0.25
    assert record.outcome == "converged"
    assert record.provenance.masker.name == "Deletion"
    assert whence.anchor(model_of(has("a", "b")), "a x b y z").features == record.features


def test_an_anchor_out_of_reach_says_so():
    short = whence.anchor(model_of(has("a", "b")), "a x b y z", options={"most_features": 1})
    assert short.outcome == "not_converged"
    assert "no anchor of up to 1 features" in short.advice[0]
    assert short.precision_interval.low < 0.95


def test_the_precision_that_is_stated_is_not_the_winners():
    """Of a coin the best of many sets looks better than a half; the fresh texts do not."""

    def flip(text):
        return sha256(text.encode()).digest()[0] % 2 == 0

    words = " ".join(f"w{i}" for i in range(12))
    text = next(t for t in (f"{words} v{i}" for i in range(50)) if flip(t))
    record = whence.anchor(model_of(flip), text, budget=1500, options={"most_features": 2})
    assert record.outcome in ("not_converged", "budget_exhausted")
    assert 0.4 < record.precision < 0.6
    assert record.provenance.cost.evaluations <= 1500


def test_coverage_is_of_the_texts_given():
    record = whence.anchor(model_of(has("a", "b")), "a x b", texts=["a b", "a c", "B a q", "d"])
    assert record.coverage == 0.5
    assert record.coverage_interval.low < 0.5 < record.coverage_interval.high


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"precision": 1.0}, OptionError, "between 0 and 1"),
        ({"budget": 3}, BudgetError, "needs 8 evaluations"),
        ({"texts": []}, OptionError, "one text or more"),
        ({"options": {"fresh": 0}}, OptionError, "fresh of 1"),
        ({"options": {"absent": 1.0}}, OptionError, "absent between"),
        ({"seed": -1}, OptionError, "seed of 0"),
    ],
)
def test_an_anchors_settings_are_checked(changes, error, says):
    with pytest.raises(error, match=says):
        whence.anchor(model_of(has("a")), "a x y", **changes)


def test_the_best_arms_are_found():
    rng = np.random.default_rng(0)
    truth = {(0,): 0.2, (1,): 0.9, (2,): 0.5, (3,): 0.95}

    def draw(arm):
        arm.hits += int((rng.random(32) < truth[arm.features]).sum())
        arm.n += 32
        return True

    arms = [Arm(features) for features in truth]
    best = best_arms(arms, 2, draw, tolerance=0.1, failure=0.05)
    assert {arm.features for arm in best} == {(1,), (3,)}


@pytest.mark.parametrize(
    ("command", "kind"),
    [("counterfactuals", Counterfactual), ("subsets", Rule), ("anchor", Rule)],
)
def test_commands_write_what_python_gives(command, kind, tmp_path):
    line = [command, "--model", "embedded:credit", "--budget", "900", CREDIT]
    if command != "anchor":
        line[1:1] = ["--count", "1"]
    for name in ("a.json", "a.html", "a.txt"):
        result = CliRunner().invoke(app, [*line, "-o", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
    record = read_record(tmp_path / "a.json")
    assert isinstance(record, kind)
    page = (tmp_path / "a.html").read_text("utf-8")
    assert json.loads(page.split('class="wh-record">')[1].split("</script>")[0])
    assert "Model" in (tmp_path / "a.txt").read_text("utf-8")


def test_no_text_ends_the_page_or_moves_the_cursor():
    model = model_of(has("alpha"))
    [record] = whence.counterfactuals(model, "alpha </script><b>x\x1b[2J", count=1)
    assert "<b>x" not in record.to_html()
    assert "\x1b" not in str(record)


def test_plausibility_is_the_bare_models_mean_log_probability():
    module, tokenizer = FAMILIES["gpt2"]().pair
    language_model = whence.load((module, tokenizer), task="causal")
    [record] = whence.counterfactuals(
        model_of(has("mild")), "He has a mild cough", count=1, language_model=language_model
    )
    ids = torch.tensor([language_model.encode("He has a mild cough").ids.tolist()])
    behind = len(language_model.encode("He").ids)
    with torch.inference_mode():
        chances = module(ids).logits[0].double().log_softmax(-1)
    each = chances[:-1].gather(1, ids[0, 1:, None])[behind - 1 :, 0]
    assert record.original_plausibility == pytest.approx(each.mean().item(), abs=1e-4)
    assert record.plausibility is not None
    assert any("passes of the language model" in note for note in record.notes)
