"""What a small transformer is held against: soft targets, states and attention of a teacher."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float

__all__ = ["FLOOR", "attention_loss", "hidden_loss", "layer_pairs", "log_targets", "soft_loss"]

FLOOR = 1e-6
"""Probabilities are kept this far from 0 before a logarithm is taken of them. Chosen by hand, a
little above the rounding of float32 (1.2e-7); not calibrated."""


def log_targets(
    probabilities: Float[torch.Tensor, "texts labels"], temperature: float
) -> Float[torch.Tensor, "texts labels"]:
    """Log-probabilities of a teacher at a temperature.

    ``log softmax(log p / T)``: a softmax does not change when a constant is added, so this is
    ``log softmax(z / T)`` of the logits ``z`` that gave ``p``. A probability below ``FLOOR``
    stands at ``FLOOR``: bare labels become as sure as that, and no surer.

    Example:
        >>> chances = log_targets(torch.tensor([[0.8, 0.2]]), 2.0).exp()
        >>> [round(chance, 3) for chance in chances[0].tolist()]
        [0.667, 0.333]
    """
    return torch.log_softmax(probabilities.clamp_min(FLOOR).log() / temperature, dim=-1)


def soft_loss(
    probabilities: Float[torch.Tensor, "texts labels"],
    logits: Float[torch.Tensor, "texts labels"],
    temperature: float,
    weights: Float[torch.Tensor, " texts"] | None = None,
) -> Float[torch.Tensor, ""]:
    """How far a student's logits are from a teacher's probabilities, at a temperature.

    ``T^2 KL(softmax(z_teacher / T) || softmax(z_student / T))`` in nats, the mean over texts. The
    gradient by the student's logits shrinks as ``1 / T^2``; the factor keeps its size, so that
    other losses need no new weight when the temperature is changed. At a high temperature it
    becomes the squared distance of centred logits over twice the number of labels.

    Hinton et al. (2015), arXiv:1503.02531.

    Args:
        probabilities: probabilities of the teacher.
        logits: logits of the student.
        temperature: divisor of the logits, above 0; 1 gives the plain divergence.
        weights: weight of each text; all equal by default.

    Example:
        >>> teacher = torch.tensor([[0.8, 0.2]])
        >>> float(soft_loss(teacher, teacher.log(), 3.0))
        0.0
    """
    aims = log_targets(probabilities, temperature)
    reached = torch.log_softmax(logits / temperature, dim=-1)
    each = temperature**2 * (aims.exp() * (aims - reached)).sum(dim=-1)
    if weights is None:
        return each.mean()
    return (weights * each).sum() / weights.sum()


def hidden_loss(
    aims: Float[torch.Tensor, "texts tokens teacher_width"],
    projected: Float[torch.Tensor, "texts tokens teacher_width"],
    read: Bool[torch.Tensor, "texts tokens"],
) -> Float[torch.Tensor, ""]:
    """Squared distance of a student's projected states from a teacher's, as a share.

    ``sum |h_student W - h_teacher|^2 / sum |h_teacher|^2`` over the tokens that are read. TinyBERT
    takes the mean squared error; it is divided by the mean square of what is aimed at, so that a
    weight means the same for every teacher. 1 is what a student reaches that gives zeros. A few
    coordinates with states far larger than the rest, as many models have, make up most of it.

    Jiao et al. (2020), arXiv:1909.10351.

    Example:
        >>> aims, read = torch.ones(1, 2, 4), torch.tensor([[True, False]])
        >>> float(hidden_loss(aims, 3 * aims, read))
        4.0
    """
    gap = (projected - aims).square().sum(dim=-1)[read]
    return gap.sum() / aims.square().sum(dim=-1)[read].sum().clamp_min(FLOOR)


def attention_loss(
    aims: Float[torch.Tensor, "texts tokens tokens"],
    weights: Float[torch.Tensor, "texts tokens tokens"],
    read: Bool[torch.Tensor, "texts tokens"],
) -> Float[torch.Tensor, ""]:
    """How far a student's mean attention is from a teacher's.

    ``KL(teacher's row || student's row)`` in nats, the mean over the queries that are read. A row
    is the mean over heads of a query's weights, which is a distribution over keys again whatever
    the number of heads; that the teacher's heads differ from each other is lost in it.

    After Wang et al. (2020), arXiv:2002.10957, who take the divergence head by head.

    Example:
        >>> one, read = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]]), torch.tensor([[True, True]])
        >>> float(attention_loss(one, one, read))
        0.0
    """
    logs = weights.clamp_min(FLOOR).log()
    # xlogy: a key that may not be read has a weight of exactly 0, and 0 ln 0 is 0 there, not NaN.
    # The student's weights are floored, since the same key may have got 0 by underflow.
    each = torch.special.xlogy(aims, aims) - aims * logs
    return each.sum(dim=-1)[read].mean()


def layer_pairs(student: int, teacher: int) -> tuple[int, ...]:
    """For each of a student's layers the teacher's layer that it copies, counted from 0.

    Evenly spaced, the last to the last: layer ``m`` of ``M`` copies ``round(m N / M)`` of ``N``,
    both counted from 1.

    Example:
        >>> layer_pairs(2, 6), layer_pairs(4, 6)
        ((2, 5), (1, 2, 4, 5))
    """
    # In whole numbers, halves up: a half must not be rounded by the parity of its neighbour.
    return tuple((2 * m * teacher + student) // (2 * student) - 1 for m in range(1, student + 1))
