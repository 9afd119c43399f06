"""What stays of a reason when the settings are varied."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, InputError, OptionError, read_record
from whence.core.specification_curve import SETTINGS, SpecificationCurve


def rule(texts):
    """Two words of which either nearly suffices, and a third that adds a little."""
    return [
        2.0 * ("late" in text or "overdue" in text)
        + 0.2 * ("late" in text)
        + 0.5 * ("small" in text)
        for text in texts
    ]


@pytest.fixture(scope="module")
def either():
    model = whence.load(rule)
    explanation = whence.explain(model, "late overdue small", method="shapley-values", trust="off")
    return model, explanation, whence.specification_curve(model, explanation)


def test_the_reason_is_the_highest_score(either):
    _, explanation, curve = either
    assert (curve.reason.text, curve.score) == ("late", pytest.approx(1.2))
    assert curve.share == pytest.approx(1.2 / 2.7)
    assert curve.explanation == explanation.digest
    assert curve.choices == {
        "method": "shapley-values", "absence": "deletion", "scale": "score", "unit": "word",
        "seed": "0",
    }  # fmt: skip


def test_every_combination_is_tried_once(either):
    *_, curve = either
    got = [tuple(item.choices[name] for name in SETTINGS) for item in curve.specifications]
    single = product(("shapley-values", "leave-one-out"), ("deletion", "replacement"), ("0",))
    sampled = product(("lime",), ("deletion", "replacement"), ("0", "1"))
    expected = {(m, a, "score", "word", s) for m, a, s in (*single, *sampled)}
    assert len(got) == len(set(got))
    assert set(got) == expected
    assert {"scale probability", "unit token", "absence mask-token"} < set(curve.left_out)


def test_settings_under_which_another_is_the_reason_are_told(either):
    """By itself either word can go, so leave-one-out puts the third above them."""
    *_, curve = either
    for item in curve.specifications:
        assert item.keeps_sign
        if item.choices["method"] == "leave-one-out":
            assert (item.top, item.keeps_top) == ("small", False)
            assert item.share == pytest.approx(0.2 / 0.7)
        if item.choices["method"] == "shapley-values":
            assert (item.top, item.keeps_top) == ("late", True)
            assert item.share == pytest.approx(1.2 / 2.7)
    rows = {(setting, value): kept for setting, value, kept in curve.by_choice()}
    assert str(rows["method", "leave-one-out"]["top"]) == "0 of 2"
    assert str(rows["method", "shapley-values"]["top"]) == "2 of 2"
    assert curve.kept_top.kept == sum(
        kept["top"].kept for (name, _), kept in rows.items() if name == "method"
    )


def test_shares_are_those_of_the_explanation_itself(either):
    model, _, curve = either
    for item in curve.specifications:
        alone = whence.explain(
            model, "late overdue small", method=item.choices["method"],
            masker=item.choices["absence"], seed=int(item.choices["seed"]), trust="quick",
        )  # fmt: skip
        scores = alone.scores[:, 0]
        assert item.share == pytest.approx(scores[0] / np.abs(scores).sum())
        said = "do not use" if alone.trust.grade == "abstain" else "usable"
        assert item.verdict == said or item.choices["seed"] != "0"


def test_a_reason_may_lower_the_output():
    model = whence.load(lambda texts: [-1.0 * ("late" in text) for text in texts])
    explanation = whence.explain(model, "it came late", trust="off")
    curve = whence.specification_curve(model, explanation)
    assert (curve.reason.text, curve.score) == ("late", -1.0)
    assert curve.kept_top.share == curve.kept_sign.share == 1.0
    assert all(item.share < -0.9 for item in curve.specifications)


def test_a_model_without_effects_keeps_nothing():
    model = whence.load(lambda texts: [1.0 for _ in texts])
    explanation = whence.explain(model, "it came late", trust="off")
    curve = whence.specification_curve(model, explanation)
    assert curve.share == 0.0
    assert curve.kept_top.kept == curve.kept_sign.kept == 0
    assert curve.kept_verdict.share == 1.0
    assert curve.verdict == "do not use"


def test_words_of_a_sentence_count_for_it():
    model = whence.load(lambda texts: [float("late" in t and "rent" in t) for t in texts])
    text = "The rent came late. It was warm."
    explanation = whence.explain(model, text, unit="sentence", trust="off")
    curve = whence.specification_curve(model, explanation)
    assert curve.reason.text == "The rent came late."
    exact = next(i for i in curve.specifications if i.choices["method"] == "shapley-values")
    assert (exact.top, exact.share) == (curve.reason.text, pytest.approx(1.0))


@pytest.fixture(scope="module")
def tiny():
    model = whence.load(FAMILIES["bert"]().pair)
    explanation = whence.explain(model, "He denies pain .", target=0, trust="off")
    return model, explanation, whence.specification_curve(model, explanation)


def test_a_model_with_gradients_has_at_least_96(tiny):
    """2 scales x 2 units x (4 maskers x (exact or sampled, one left out, twice LIME) + gradients)."""
    *_, curve = tiny
    count = {
        name: sum(item.choices["method"] == name for item in curve.specifications)
        for name in ("leave-one-out", "lime", "integrated-gradients", "input-x-gradient")
    }
    assert count["leave-one-out"] == 16
    assert count["lime"] == 32
    assert count["input-x-gradient"] == 4
    assert count["integrated-gradients"] == 4 * (6 - sum("embedding" in v for v in curve.left_out))
    assert len(curve.specifications) >= 80
    assert len(curve.ran) + sum(i.failed is not None for i in curve.specifications) == len(
        curve.specifications
    )


def test_tokens_of_a_word_are_summed(tiny):
    model, explanation, curve = tiny
    item = next(
        i
        for i in curve.specifications
        if i.choices["unit"] == "token" and i.choices["method"] == "leave-one-out"
        and i.choices["absence"] == "mask-token" and i.choices["scale"] == "log_odds"
    )  # fmt: skip
    tokens = whence.explain(
        model, "He denies pain .", target=0, method="leave-one-out", unit="token",
        masker="mask-token", trust="off",
    )  # fmt: skip
    inside = [
        curve.reason.start <= f.start < curve.reason.end for f in tokens.segmentation.features
    ]
    scores = tokens.scores[:, 0]
    by_word = {}
    for feature, score in zip(tokens.segmentation.features, scores, strict=True):
        word = next(
            w for w in explanation.segmentation.features if w.start <= feature.start < w.end
        )
        by_word[word.start] = by_word.get(word.start, 0.0) + score
    total = sum(abs(value) for value in by_word.values())
    assert item.share == pytest.approx(scores[inside].sum() / total)


def test_reads_back(tiny, tmp_path):
    *_, curve = tiny
    path = tmp_path / "curve.json"
    path.write_bytes(curve.to_json())
    again = read_record(path)
    assert isinstance(again, SpecificationCurve)
    assert again.to_json() == curve.to_json()


def test_scores_without_sign_are_refused():
    model = whence.load(FAMILIES["bert"]().pair)
    rolled = whence.explain(model, "He denies pain .", method="rollout", trust="off")
    with pytest.raises(CapabilityError, match="expected scores with a sign"):
        whence.specification_curve(model, rolled)


def test_another_text_or_output_is_refused(either):
    model, explanation, _ = either
    with pytest.raises(InputError, match="source="):
        whence.specification_curve(model, explanation, source="another text")
    with pytest.raises(OptionError, match="output 3"):
        whence.specification_curve(model, explanation, output=3)


def test_a_broken_specification_does_not_cost_the_others():
    def picky(texts):
        if any("..." in text for text in texts):
            raise ValueError("dots")
        return rule(texts)

    model = whence.load(picky)
    explanation = whence.explain(model, "late or small", trust="off")
    curve = whence.specification_curve(model, explanation)
    failed = [item for item in curve.specifications if item.failed is not None]
    assert {item.choices["absence"] for item in failed} == {"replacement"}
    assert len(curve.ran) == 4
    assert all("dots" in item.failed for item in failed)
    assert "4 not counted" in str(curve)


def test_views_say_the_counts_and_escape(either):
    *_, curve = either
    kept = curve.kept_top
    assert f"Of 8 specifications {kept.kept} ({100 * kept.share:.0f} %) keep “late” as" in str(
        curve
    )
    page = curve.to_html()
    assert page.count('class="kept"') + page.count('class="lost"') > 8 * (1 + len(SETTINGS))
    assert "http" not in page.split("<body>")[1].split('class="wh-record"')[0]
    model = whence.load(lambda texts: [float("<b>x</b>" in text) for text in texts])
    odd = whence.explain(model, "<b>x</b> here", unit=whence.Spans(spans=((0, 8), (9, 13))))
    assert "<b>x</b>" not in whence.specification_curve(model, odd).to_html()


def test_random_state_is_left(either):
    model, explanation, _ = either
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    whence.specification_curve(model, explanation)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
