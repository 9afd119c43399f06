"""Losses against computations by hand, and which gradients they give."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax

from whence.models.compact.losses import (
    FLOOR,
    attention_loss,
    hidden_loss,
    layer_pairs,
    log_targets,
    soft_loss,
)


def _naive(teacher_logits, student_logits, temperature):
    p = softmax(teacher_logits / temperature, axis=1)
    q = softmax(student_logits / temperature, axis=1)
    return temperature**2 * (p * np.log(p / q)).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.5])
def test_soft_loss_is_the_divergence_of_both_softmaxes_times_the_squared_temperature(temperature):
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    given = torch.from_numpy(softmax(teacher, axis=1))
    found = soft_loss(given, torch.from_numpy(student), temperature)
    assert float(found) == pytest.approx(_naive(teacher, student, temperature).mean(), rel=1e-9)


def test_soft_loss_by_hand():
    # At T = 2 the teacher's 16:1 becomes 4:1; the student says 1:1.
    found = soft_loss(torch.tensor([[16 / 17, 1 / 17]]), torch.zeros(1, 2), 2.0)
    by_hand = 4 * (0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5))
    assert float(found) == pytest.approx(by_hand, rel=1e-5)


def test_the_squared_temperature_keeps_the_size_of_the_gradient():
    teacher = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    given = torch.softmax(teacher, dim=1)
    slopes = {}
    for temperature in (50.0, 100.0, 200.0):
        student = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        soft_loss(given, student, temperature).backward()
        slopes[temperature] = student.grad
    # The limit of a high temperature: centred logits, the student's less the teacher's, over K.
    limit = -(teacher - teacher.mean()) / 3
    gaps = [float((slope - limit).abs().max()) for slope in slopes.values()]
    assert gaps[0] < 0.01
    assert gaps[0] > 1.9 * gaps[1] > 3.6 * gaps[2] > 0


def test_weights_of_texts():
    rng = np.random.default_rng(1)
    teacher, student = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    weights = np.array([0.0, 1.0, 3.0])
    each = _naive(teacher, student, 2.0)
    found = soft_loss(
        torch.from_numpy(softmax(teacher, axis=1)),
        torch.from_numpy(student),
        2.0,
        torch.from_numpy(weights),
    )
    assert float(found) == pytest.approx((each[1] + 3 * each[2]) / 4)


def test_bare_labels_have_finite_logarithms():
    found = log_targets(torch.tensor([[1.0, 0.0]]), 1.0)
    assert torch.isfinite(found).all()
    assert float(found[0, 1]) == pytest.approx(math.log(FLOOR), rel=1e-5)


def test_hidden_loss_is_a_share_over_the_tokens_that_are_read():
    rng = np.random.default_rng(2)
    aims, got = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    read = np.array([[True, True, False], [True, False, False]])
    top = sum(((got - aims)[b, t] ** 2).sum() for b, t in ((0, 0), (0, 1), (1, 0)))
    below = sum((aims[b, t] ** 2).sum() for b, t in ((0, 0), (0, 1), (1, 0)))
    tensors = torch.from_numpy(aims), torch.from_numpy(got), torch.from_numpy(read)
    assert float(hidden_loss(*tensors)) == pytest.approx(top / below)
    got[0, 2] = 1e6
    again = hidden_loss(torch.from_numpy(aims), torch.from_numpy(got), torch.from_numpy(read))
    assert float(again) == pytest.approx(top / below)


def test_attention_loss_is_the_divergence_of_rows_over_the_queries_that_are_read():
    aims = torch.tensor([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.8, 0.0]]])
    weights = torch.tensor([[[0.25, 0.75, 0.0], [0.5, 0.5, 0.0], [0.9, 0.1, 0.0]]])
    read = torch.tensor([[True, True, False]])
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    by_hand = (first + math.log(2)) / 2
    assert float(attention_loss(aims, weights, read)) == pytest.approx(by_hand, rel=1e-5)


def test_gradients_reach_what_the_student_gave_and_no_key_that_is_masked():
    aims = torch.tensor([[[0.5, 0.5, 0.0]] * 3])
    raw = torch.zeros(1, 3, 3, requires_grad=True)
    masked = raw.masked_fill(torch.tensor([[[False, False, True]]]), -torch.inf)
    attention_loss(aims, torch.softmax(masked, -1), torch.tensor([[True, True, False]])).backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    assert float(raw.grad[..., 2].abs().max()) == 0.0


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [(1, 6, (5,)), (2, 6, (2, 5)), (3, 4, (0, 2, 3)), (4, 4, (0, 1, 2, 3)), (2, 5, (2, 4))],
)
def test_layers_are_paired_evenly_and_the_last_with_the_last(student, teacher, pairs):
    assert layer_pairs(student, teacher) == pairs
