import copy

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES

import whence
from whence.core.errors import (
    CapabilityError,
    InputError,
    ModelOutputError,
    OptionError,
    TextTooLongError,
)
from whence.games.disk_cache import DiskCache
from whence.students.teacher.teacher import Teacher

LABELS = ["accept", "reject"]


def late(texts):
    return [[0.1, 0.9] if "late" in t else [0.8, 0.2] for t in texts]


def of(function, **options):
    model = whence.load(function, labels=LABELS)
    return Teacher.of(model, **{"gives": "probability", **options})


class TestAsking:
    def test_answers_in_the_order_asked_repeats_included(self):
        answers = of(late).ask(["late", "paid", "late"])
        assert answers.top.tolist() == [1, 0, 1]
        assert answers.read_to.tolist() == [4, 4, 4]

    def test_each_distinct_text_is_asked_once(self):
        calls = []
        teacher = of(lambda texts: calls.extend(texts) or late(texts), batch=2)
        teacher.ask(["a late", "b", "c", "b"])
        teacher.ask(["c", "d"])
        assert calls == ["a late", "b", "c", "d"]

    def test_asking_again_is_fresh_and_leaves_the_cache(self):
        rng = np.random.default_rng(0)

        def coin(texts):
            p = rng.random(len(texts))
            return np.stack([p, 1 - p], axis=1)

        teacher = of(coin)
        first = teacher.ask(["a", "b"]).values
        again = teacher.ask_again(["a", "b"]).values
        assert not np.allclose(first, again)
        assert np.array_equal(teacher.ask(["a", "b"]).values, first)

    def test_two_callables_never_share_answers(self):
        cache = whence.MemoryCache()
        one = of(late, cache=cache)
        two = of(lambda texts: [[1.0, 0.0]] * len(texts), cache=cache)
        assert one.ask(["late"]).top.tolist() == [1]
        assert two.ask(["late"]).top.tolist() == [0]

    def test_a_version_lets_answers_live_on_disk(self, tmp_path):
        with DiskCache(tmp_path / "answers.db") as cache:
            of(late, cache=cache, version="v1").ask(["late"])

            def never(texts):
                raise AssertionError("asked")

            assert of(never, cache=cache, version="v1").ask(["late"]).top.tolist() == [1]
            with pytest.raises(OptionError, match="version"):
                of(late, cache=cache)

    def test_softmax_of_logits(self):
        teacher = of(lambda texts: [[0.0, np.log(3.0)]] * len(texts), gives="logit")
        answers = teacher.ask(["a"])
        assert answers.probabilities[0] == pytest.approx([0.25, 0.75])
        assert answers.centred_logits().sum() == pytest.approx(0.0)

    def test_progress_counts_distinct_texts(self):
        told = []
        of(late, batch=2).ask(list("abcb"), progress=lambda what, n, of: told.append((n, of)))
        assert told == [(2, 3), (3, 3)]


class TestFailing:
    def test_nan_midway_keeps_what_was_valid(self):
        seen = []

        def breaks(texts):
            seen.extend(texts)
            return [[np.nan, 1.0] if t == "d" else [0.5, 0.5] for t in texts]

        def mended(texts):
            seen.extend(texts)
            return [[0.5, 0.5]] * len(texts)

        cache = whence.MemoryCache()
        with pytest.raises(ModelOutputError, match="to 'd'; expected probabilities"):
            of(breaks, batch=2, cache=cache, version="x").ask(list("abcd"))
        seen.clear()
        of(mended, batch=2, cache=cache, version="x").ask(list("abcd"))
        assert seen == ["d"]

    def test_an_error_midway_says_how_far_it_came(self):
        def fails(texts):
            if "c" in texts:
                raise RuntimeError("server gone")
            return [[0.5, 0.5]] * len(texts)

        with pytest.raises(ModelOutputError, match="2 of 3 texts: server gone"):
            of(fails, batch=2).ask(list("abc"))

    def test_probabilities_that_do_not_add_up(self):
        with pytest.raises(ModelOutputError, match="add up to 1"):
            of(lambda texts: [[0.5, 0.6]] * len(texts)).ask(["a"])

    def test_labels_that_change(self):
        def shrinking(texts):
            return [[0.5, 0.5]] if texts == ["a"] else [[0.2, 0.3, 0.5]] * len(texts)

        with pytest.raises(ModelOutputError, match="expected 2 scores for each text"):
            of(shrinking, batch=1).ask(["a", "b"])

    def test_a_label_nobody_named(self):
        teacher = Teacher.of_labels(lambda texts: ["maybe"] * len(texts), labels=LABELS)
        with pytest.raises(ModelOutputError, match="maybe"):
            teacher.ask(["a"])

    @pytest.mark.parametrize("text", ["", "  ", "\ud800"])
    def test_texts_that_are_none(self, text):
        with pytest.raises(InputError, match="text 0"):
            of(late).ask([text])

    def test_what_a_callable_gives_must_be_declared(self):
        with pytest.raises(OptionError, match="declared"):
            Teacher.of(whence.load(late, labels=LABELS))

    def test_one_label_is_no_decision(self):
        model = whence.load(lambda texts: [1.0] * len(texts), labels=["only"])
        with pytest.raises(CapabilityError, match="two or more"):
            Teacher.of(model, gives="logit")


class TestLoadedModels:
    def test_a_classifier_answers_as_it_decides(self):
        model = whence.load("embedded:credit")
        texts = ["The applicant missed a payment.", "The applicant has a steady job."]
        answers = Teacher.of(model).ask(texts)
        for row, text in enumerate(texts):
            decision = model.decide(model.encode(text))
            named = {score.name: score.value for score in decision.scores}
            wanted = [named[label] for label in model.labels]
            assert answers.probabilities[row] == pytest.approx(wanted, abs=1e-5)

    def test_long_texts_are_refused_or_cut_and_the_cut_is_kept(self):
        model = whence.load("embedded:credit")
        text = "The applicant missed a payment. " * 200
        with pytest.raises(TextTooLongError, match="cut"):
            Teacher.of(model).ask([text])
        teacher = Teacher.of(model, long="cut")
        answers = teacher.ask([text])
        assert 0 < answers.read_to[0] < len(text)
        short = teacher.ask([text[: answers.read_to[0]]])
        assert np.allclose(short.values, answers.values, atol=1e-5)


class TestWhoseAnswersTheyAre:
    def test_other_labels_are_another_teacher(self):
        cache = whence.MemoryCache()

        def rule(texts):
            return ["reject" if "late" in text else "accept" for text in texts]

        for labels in (["accept", "reject"], ["reject", "accept"], ["accept", "reject", "ask"]):
            teacher = Teacher.of_labels(rule, labels=labels, version="v1", cache=cache)
            answers = teacher.ask(["paid late"])
            assert labels[int(answers.top[0])] == "reject"

    def test_a_version_does_not_stand_for_a_model_that_can_be_hashed(self):
        model = whence.load(FAMILIES["bert"]().pair)
        teacher = Teacher.of(model, version="v1")
        assert teacher.fingerprint != Teacher.of(model, version="v1", long="cut").fingerprint
        assert model.identity.fingerprint in teacher.fingerprint

    def test_weights_changed_in_place_are_asked_again(self):
        module, tokenizer = copy.deepcopy(FAMILIES["bert"]().pair)
        for hooked in (False, True):
            if hooked:
                module.classifier.register_forward_hook(lambda *_: None)
            teacher = Teacher.of(whence.load((module, tokenizer)))
            before = teacher.ask(["a text"]).values
            with torch.no_grad():
                for weight in module.parameters():
                    weight.add_(0.05)
            assert not np.allclose(teacher.ask(["a text"]).values, before)
            assert teacher.asked == 2

    def test_one_strange_label_does_not_cost_the_others_theirs(self):
        asked = []

        def mostly(texts):
            asked.extend(texts)
            return ["perhaps" if "odd" in text else "accept" for text in texts]

        teacher = Teacher.of_labels(mostly, labels=LABELS, batch=8)
        texts = [f"text {i}" for i in range(7)]
        with pytest.raises(ModelOutputError, match=r"'perhaps' to 'an odd text'.*accept, reject"):
            teacher.ask([*texts, "an odd text"])
        asked.clear()
        teacher.ask(texts)
        assert asked == []


def test_answers_under_a_hook_are_not_found_by_the_model_without_it(tmp_path):
    pair = copy.deepcopy(FAMILIES["bert"]().pair)
    with DiskCache(tmp_path / "answers") as cache:
        handle = pair[0].classifier.register_forward_hook(lambda *a: 3 * a[-1])
        try:
            hooked = Teacher.of(whence.load(pair), cache=cache).ask(["He coughs ."]).values
        finally:
            handle.remove()
        plain = Teacher.of(whence.load(pair), cache=cache)
        assert np.allclose(3 * plain.ask(["He coughs ."]).values, hooked, rtol=1e-5)
        again = Teacher.of(whence.load(pair), cache=cache)
        again.ask(["He coughs ."])
        assert (plain.asked, again.asked) == (1, 0)
