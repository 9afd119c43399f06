"""Which modules are norms of one input, whose divisor can be frozen."""

from __future__ import annotations

import pytest
import torch
from tests.zoo.architectures import architectures, build

import whence
from whence.models.internals.frozen_norm import is_norm

TEXT = "she missed four payments but not the loan"


class PlainNorm(torch.nn.Module):
    def forward(self, states):
        return states


class GatedNorm(torch.nn.Module):
    def forward(self, states, gate):
        return states * gate


class PerhapsGatedNorm(torch.nn.Module):
    def forward(self, states, gate=None):
        return states if gate is None else states * gate


class OpenNorm(torch.nn.Module):
    def forward(self, states, *args, **kwargs):
        return states


@pytest.mark.parametrize(
    ("kind", "right"),
    [(PlainNorm, True), (OpenNorm, True), (GatedNorm, False), (PerhapsGatedNorm, False)],
)
def test_a_norm_reads_one_input(kind, right):
    assert is_norm(kind()) is right


def test_a_gate_with_a_default_is_no_reason_to_refuse_attention():
    """Kimi's linear layers norm with a gate that has a default, and is never left out."""
    architecture = next(each for each in architectures() if each.kind == "KimiLinearForCausalLM")
    model = whence.load(build(architecture))
    record = whence.attend(model, TEXT, target=whence.NextToken(token=40), flow=False)
    assert record.record.effects
