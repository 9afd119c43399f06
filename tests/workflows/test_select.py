from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.zoo.families import FAMILIES

import whence
from whence.core import InputError, OptionError, read_record
from whence.workflows.select import CANDIDATES, remembered

TEXTS = [
    "the payment was late again and nobody called",
    "a late answer is better than none at all they say",
    "they wait and wait for what is late by now",
    "nothing in here has any weight with it at all",
    "late or not it will wait for the bank to open",
]


def _late(texts):
    return [3.0 * t.count("late") - 1.0 * t.count("wait") + 0.1 * len(t) / 10 for t in texts]


def test_methods_side_by_side_on_one_pool():
    model = whence.load(_late)
    found = whence.compare(model, TEXTS[0])
    assert set(found.failed) == {
        "integrated-gradients",
        "input-x-gradient",
        "value-zeroing",
        "gradient-weighted-attention",
    }
    by_name = {name: m[0].value for name, m in found.measurements.items()}
    assert by_name["kernel-shap"] > 0.9
    assert abs(by_name["random"]) < 0.9
    assert found.p_values["kernel-shap"] <= 0.05
    assert "ensemble" in found.explanations
    specifications = {str(m[0].specification) for m in found.measurements.values()}
    assert len(specifications) == 1
    assert found.departs("kernel-shap")[0] == "kernel-shap"


def test_eight_methods_are_compared_with_at_most_170_evaluations():
    model = whence.load(FAMILIES["bert"]().pair)
    found = whence.compare(model, TEXTS[1], methods=list(CANDIDATES))
    assert len(found.explanations) == 9
    assert found.judging <= 170


def test_choosing_on_texts_and_taking_the_choice():
    model = whence.load(_late)
    seen = []
    selection = whence.select(
        model,
        TEXTS,
        methods=["random", "leave-one-out", "lime"],
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert seen == [("texts", i + 1, 5) for i in range(5)]
    # The game is additive: leave-one-out is right, and cheapest.
    assert selection.chosen == "leave-one-out"
    assert selection.explainable
    assert selection.scores.shape == (4, 5)
    assert {c.name for c in selection.candidates} == {"random", "leave-one-out", "lime", "ensemble"}
    assert len(set(selection.documents)) == 5
    assert whence.core.Selection.from_json(selection.to_json()) == selection
    found = whence.explain(model, TEXTS[3])
    assert found.provenance.method.name == "LeaveOneOut"
    assert "chosen on 5 texts" in found.provenance.choice
    assert whence.explain(model, TEXTS[3], method="lime").provenance.method.name == "Lime"


def test_the_choice_does_not_outlive_the_weights():
    import torch

    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    whence.select(model, TEXTS[:2], methods=["leave-one-out", "input-x-gradient"])
    assert remembered(model) is not None
    with torch.no_grad():
        next(tiny.module.parameters()).add_(1e-3)
    assert remembered(model) is None


def test_a_task_that_words_do_not_explain_is_said_to_be_one():
    def parity(texts):
        return [float(len(t.split()) % 2) for t in texts]

    selection = whence.select(whence.load(parity), TEXTS, methods=["leave-one-out", "random"])
    assert not selection.explainable
    assert "no list of words" in selection.why


def test_what_cannot_be_chosen_from_is_refused():
    model = whence.load(_late)
    with pytest.raises(OptionError, match="got none"):
        whence.select(model, [])
    with pytest.raises(OptionError, match="no candidate works"):
        whence.select(model, TEXTS[:1], methods=["input-x-gradient"])
    with pytest.raises(OptionError, match="expected a method or more"):
        whence.compare(model, TEXTS[0], methods=[])


@pytest.mark.parametrize("seeds", [pytest.param(12, marks=pytest.mark.slow), 3])
def test_an_ensemble_of_noise_is_not_significant_by_its_own_masks(seeds):
    passed = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        answers = {}

        def noise(texts, answers=answers, rng=rng):
            return [answers.setdefault(t, float(rng.normal())) for t in texts]

        found = whence.compare(
            whence.load(noise),
            TEXTS[0] + " " + TEXTS[1],
            methods=[whence.Random()] * 6,
            size=64,
            seed=seed,
        )
        passed.append(found.p_values["ensemble"] <= 0.05)
    assert sum(passed) <= seeds / 3


@pytest.fixture(scope="module")
def selection():
    return whence.select(whence.load(_late), TEXTS, methods=["random", "leave-one-out", "lime"])


class TestHandingOver:
    def test_a_stored_choice_explains_in_another_process(self, selection, tmp_path):
        path = selection.save(tmp_path / "choice.json")
        # A model that nothing was selected for in this process.
        found = whence.explain(whence.load(_late), TEXTS[3], method=read_record(path), trust="off")
        assert found.provenance.method.name == "LeaveOneOut"
        assert "chosen on 5 texts: leave-one-out" in found.provenance.choice

    def test_the_options_of_the_method_come_with_it(self, tmp_path):
        chosen = whence.select(whence.load(_late), TEXTS[:2], methods=[whence.Lime(ridge=0.125)])
        path = chosen.save(tmp_path / "choice.json")
        found = whence.explain(whence.load(_late), TEXTS[3], method=read_record(path), trust="off")
        assert found.provenance.method.options["ridge"] == 0.125
        assert "--method lime --option ridge=0.125" not in str(chosen)
        assert "method=selection" in str(chosen)

    @pytest.mark.parametrize(
        "other", [{"unit": "sentence"}, {"masker": whence.Replacement(text="x")}]
    )
    def test_a_choice_for_another_unit_or_masker_is_refused(self, selection, other):
        with pytest.raises(OptionError, match=f"was made for {next(iter(other))}"):
            whence.explain(whence.load(_late), TEXTS[3], method=selection, **other)

    def test_a_choice_for_another_model_is_refused(self):
        chosen = whence.select(
            whence.load("embedded:credit"), ["No savings at all."], methods=["leave-one-out"]
        )
        assert "--model embedded:credit --method leave-one-out TEXT" in str(chosen)
        with pytest.raises(OptionError, match="made for embedded:credit"):
            whence.explain(whence.load("embedded:health"), "No pain.", method=chosen)


def test_a_selection_of_version_1_reads():
    path = Path(__file__).parents[1] / "core" / "golden" / "selection-1.json"
    stored = read_record(path)
    assert stored.chosen == "lime"
    assert stored.skipped == {}
    assert "whence explain" in str(stored)


class TestTextsThatCannotBeJudged:
    def test_they_are_listed_and_the_rest_is_judged(self):
        texts = [TEXTS[0], "", TEXTS[1], " ".join(["late"] * 20), TEXTS[2]]
        chosen = whence.select(
            whence.load(_late), texts, methods=["leave-one-out", whence.LinearDatamodel()]
        )
        assert list(chosen.skipped) == ["2"]
        assert "empty" in chosen.skipped["2"]
        assert chosen.texts == 4
        assert "text 2 was left out" in str(chosen)
        assert whence.core.Selection.from_json(chosen.to_json()) == chosen

    def test_a_text_longer_than_the_model_reads(self):
        model = whence.load("embedded:credit")
        chosen = whence.select(
            model, ["No savings at all.", "savings " * 5_000], methods=["leave-one-out"]
        )
        assert list(chosen.skipped) == ["2"]
        assert "tokens" in chosen.skipped["2"]

    def test_the_first_error_where_none_can(self):
        with pytest.raises(InputError, match="empty"):
            whence.select(whence.load(_late), ["", " "])


class TestInANotebook:
    def test_a_comparison(self):
        found = whence.compare(whence.load(_late), TEXTS[0], methods=["lime", "random", "rollout"])
        assert repr(found) == "Comparison(lime, random, ensemble; failed: rollout)"
        assert str(found).startswith("method")
        page = found._repr_html_()
        for name in (
            "lime",
            "random",
            "ensemble",
            "pool-fidelity [correlation]",
            "not tried: rollout",
        ):
            assert name in page
        assert len(page) < 12_000
        assert "array(" not in page

    def test_a_selection(self, selection):
        assert repr(selection) == "Selection(chosen='leave-one-out', candidates=4, texts=5)"
        assert "leave-one-out *" in selection._repr_html_()
        assert "leave-one-out *" in str(selection)
