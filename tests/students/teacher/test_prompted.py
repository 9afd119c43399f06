import numpy as np
import pytest
from tests.zoo.families import FAMILIES

import whence
from whence.core.errors import CapabilityError, InputError, OptionError, TextTooLongError
from whence.core.targets import Continuation
from whence.models.protocols import Row
from whence.students.teacher.prompted import CONTENT_FREE
from whence.students.teacher.teacher import Teacher

PROMPT = "options {options} text {text} answer"
PLAIN = "text {text} answer"
LABELS = ["good", "not good"]


@pytest.fixture(scope="module")
def model():
    return whence.load(FAMILIES["llama"]().pair)


def logs(model, prompt):
    encoding = model.encode(prompt)
    targets = [Continuation(text=f" {label}") for label in LABELS]
    readout = model.readout(encoding, targets, link="log_probability")
    return model.evaluate([Row(ids=encoding.ids)], readout).values[0]


def test_scores_are_whole_label_log_probabilities(model):
    teacher = Teacher.prompted(model, prompt=PLAIN, labels=LABELS, calibrate=False)
    found = teacher.ask(["a payment"]).values[0]
    assert found == pytest.approx(logs(model, "text a payment answer"), abs=1e-5)


def test_calibration_takes_away_the_content_free_answer(model):
    teacher = Teacher.prompted(model, prompt=PLAIN, labels=LABELS)
    empty = np.stack([logs(model, PLAIN.replace("{text}", text)) for text in CONTENT_FREE])
    wanted = logs(model, "text a payment answer") - np.log(np.exp(empty).mean(axis=0))
    assert teacher.ask(["a payment"]).values[0] == pytest.approx(wanted, abs=1e-5)


def test_orders_are_averaged(model):
    teacher = Teacher.prompted(model, prompt=PROMPT, labels=LABELS, calibrate=False, orders=2)
    both = [
        logs(model, f"options {options} text a payment answer")
        for options in ("good, not good", "not good, good")
    ]
    assert teacher.ask(["a payment"]).values[0] == pytest.approx(np.mean(both, axis=0), abs=1e-5)


def test_a_cut_falls_in_the_text(model):
    text = "a good payment " * 100
    with pytest.raises(TextTooLongError):
        Teacher.prompted(model, prompt=PLAIN, labels=LABELS).ask([text])
    teacher = Teacher.prompted(model, prompt=PLAIN, labels=LABELS, calibrate=False, long="cut")
    answers = teacher.ask([text])
    cut = int(answers.read_to[0])
    assert 0 < cut < len(text)
    whole = PLAIN.replace("{text}", text[:cut])
    assert answers.values[0] == pytest.approx(logs(model, whole), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prompt": "no place"}, "once"),
        ({"labels": ["one"]}, "two or more"),
        ({"orders": 2}, "options"),
        ({"words": [" same", " same"]}, "expected one word for each"),
    ],
)
def test_options_that_cannot_be(model, options, says):
    with pytest.raises(OptionError, match=says):
        Teacher.prompted(model, **{"prompt": PLAIN, "labels": LABELS, **options})


def test_a_prompt_without_room(model):
    prompt = "word " * 125 + "{text}"
    teacher = Teacher.prompted(model, prompt=prompt, labels=LABELS, calibrate=False, long="cut")
    with pytest.raises((InputError, TextTooLongError)):
        teacher.ask(["some words more than fit"])


def test_classifiers_are_not_prompted():
    with pytest.raises(CapabilityError, match="causal"):
        Teacher.prompted(whence.load("embedded:credit"), prompt=PLAIN, labels=LABELS)
