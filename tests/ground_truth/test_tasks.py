"""The generated texts: the same for the same seed, true to their rules, their spans in place."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ground_truth.item import item_of

import whence
from ground_truth import TASKS, TaskItem
from whence.attribution import ShapleyValues
from whence.cases import generate
from whence.core.errors import OptionError
from whence.core.features import Span
from whence.games import FunctionGame
from whence.games.question import ask

MADE = [task for task in TASKS.values() if task.training is not None]
RULED = [task for task in MADE if task.rule is not None]


def named(task):
    return task.name


@pytest.mark.parametrize("task", TASKS.values(), ids=named)
def test_the_same_seed_gives_the_same_items(task):
    assert task.items(12, seed=3) == task.items(12, seed=3)
    assert task.items(12, seed=3) != task.items(12, seed=4)
    assert len(task.items(12, seed=3)) == 12


@pytest.mark.parametrize("task", TASKS.values(), ids=named)
def test_features_fit_the_spans_that_decide(task):
    model = whence.load(lambda texts: [float(len(text)) for text in texts])
    for item in task.items(12, seed=5):
        segmentation = ask(model, item.text).segmentation
        relevant = item.relevant(segmentation)
        assert item.label in task.labels
        assert relevant.any() == bool(item.truth)
        for span in item.truth:
            assert (
                item.text[span.start : span.end].strip() == item.text[span.start : span.end] != ""
            )
        if task.training is not None:
            # One word, one feature: what a feature is does not hang on punctuation.
            assert [feature.text for feature in segmentation.features] == list(item.words)
            starts = {segmentation.features[i].start for i in np.flatnonzero(relevant)}
            assert starts == {span.start for span in item.truth}


@pytest.mark.parametrize("task", RULED, ids=named)
def test_labels_follow_the_rule(task):
    items = task.items(200, seed=6) + task.mixture(400, seed=7)
    for item in items:
        assert task.labels[int(task.rule(item.words))] == item.label
        assert task.rule(item.words) in (0.0, 1.0)
        assert set(item.words) <= set(task.vocabulary)
    assert len({item.label for item in task.mixture(400, seed=7)}) == 2


def without(item: TaskItem, spans: tuple[Span, ...]) -> list[str | None]:
    hidden = {span.start for span in spans}
    words, start = [], 0
    for word in item.words:
        words.append(None if start in hidden else word)
        start += len(word) + 1
    return words


@pytest.mark.parametrize("task", RULED, ids=named)
def test_what_decides_decides(task):
    """Without the reasons the rule no longer gives the label; without all else it still does."""
    for item in task.items(100, seed=8):
        label = task.labels.index(item.label)
        assert task.rule(without(item, item.truth)) != label
        if task.name == "brackets":
            continue  # brackets that are hidden could always be made whole
        others = {span.start for span in item.truth}
        alone = [
            word if start in others else None
            for word, start in zip(
                item.words, np.cumsum([0, *(len(word) + 1 for word in item.words)]), strict=False
            )
        ]
        assert task.rule(alone) == label


@pytest.mark.parametrize("task", RULED, ids=named)
def test_each_reason_is_needed_unless_any_will_do(task):
    for item in task.items(60, seed=9):
        label = task.labels.index(item.label)
        for span in item.truth:
            answer = task.rule(without(item, (span,)))
            if item.either:
                assert answer == label
            elif task.name not in ("tone", "counting"):
                assert answer != label


def test_exact_shapley_values_of_a_rule_put_the_reasons_on_top():
    for name in ("planted-single", "planted-context", "planted-order", "agreement", "brackets"):
        task = TASKS[name]
        for item in task.items(30, seed=10):
            words = item.words
            if len(words) > 10:
                continue
            sign = 1 if item.label == task.labels[1] else -1

            def value(rows, words=words, task=task, sign=sign):
                shown = [[w if s else None for w, s in zip(words, r, strict=True)] for r in rows]
                return np.array([sign * task.rule(words) for words in shown])

            game = FunctionGame(len(words), value)
            scores = ShapleyValues().estimate(game, budget=1 << len(words), seed=0).scores[:, 0]
            starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
            relevant = np.isin(starts, [span.start for span in item.truth])
            assert scores[relevant].min() > scores[~relevant].max()


def test_planted_words_contradict_the_tone_and_decoys_do_not():
    task = TASKS["planted-context"]
    for item in task.items(100, seed=11):
        assert TASKS["tone"].rule(item.words) != task.labels.index(item.label)
    decoys = [item for item in task.mixture(800, seed=12) if item.kind == "decoy"]
    assert decoys
    for item in decoys:
        assert TASKS["tone"].rule(item.words) == task.labels.index(item.label)
        assert set(item.words) & {"zeroa", "onea", "contexta"}


def test_planted_labels_say_nothing_of_the_tone():
    items = [i for i in TASKS["planted-single"].mixture(4000, seed=13) if i.kind == "planted"]
    same = [TASKS["tone"].rule(i.words) == (i.label == "good") for i in items]
    assert abs(np.mean(same) - 0.5) < 4 * 0.5 / np.sqrt(len(same))


def test_order_alone_settles_the_ordered_pair():
    task = TASKS["planted-order"]
    item = task.items(1, seed=14)[0]
    swapped = [{"zeroa": "onea", "onea": "zeroa"}.get(word, word) for word in item.words]
    assert task.rule(swapped) == 1 - task.rule(item.words)


def test_broken_brackets_break_one_pair_only():
    closing = dict(zip("([{<", ")]}>", strict=True))
    for item in TASKS["brackets"].items(200, seed=15):
        words = item.words
        seen = {word: words.count(word) for word in words}
        assert max(seen.values()) == 1
        alone = {w for a, b in closing.items() for w in (a, b) if (a in seen) != (b in seen)}
        assert {item.text[s.start : s.end] for s in item.truth} == alone & set(words)
        assert len(item.truth) == 2


@pytest.mark.parametrize("hidden", list(product([False, True], repeat=3)))
def test_retrieval_needs_both_keys_and_the_value(hidden):
    task = TASKS["retrieval"]
    for item in task.items(20, seed=16):
        spans = tuple(s for s, h in zip(item.truth, hidden, strict=True) if h)
        expected = 0.5 if any(hidden) else float(item.label == "warm")
        assert task.rule(without(item, spans)) == expected


def test_cases_have_the_spans_of_their_decisive_facts():
    drawn = {case.text: case for case in generate("health", 40, seed=17)}
    for item in TASKS["cases-health"].items(20, seed=17):
        case = drawn[item.text]
        assert [(s.start, s.end) for s in item.truth] == [(f.start, f.end) for f in case.decisive]


def test_leaked_postcodes_contradict_the_rule():
    drawn = {c.text: c for c in generate("credit", 80, seed=18, shortcut=True)}
    items = TASKS["cases-credit-shortcut"].items(10, seed=18)
    for item in items:
        if item.text in drawn:
            assert drawn[item.text].label != item.label
    assert any(item.text in drawn for item in items)


def test_refusals():
    task = TASKS["tone"]
    with pytest.raises(OptionError, match="1 or more"):
        task.items(0)
    with pytest.raises(OptionError, match="come with the package"):
        TASKS["cases-law"].mixture(5)
    model = whence.load(lambda texts: [float(len(text)) for text in texts])
    with pytest.raises(OptionError, match="own text"):
        task.items(1)[0].relevant(ask(model, "another text").segmentation)


def test_item_of_places_its_spans():
    item = item_of(["aa", "b", "cccc"], "poor", [2, 0], "plain")
    assert [item.text[s.start : s.end] for s in item.truth] == ["aa", "cccc"]
