"""Methods by name and by budget."""

from __future__ import annotations

import pytest

from whence.attribution import (
    METHODS,
    InputXGradient,
    IntegratedGradients,
    KernelShap,
    LeaveOneOut,
    Lime,
    LinearDatamodel,
    ShapleyValues,
    method_by_name,
)
from whence.attribution.registry import choose
from whence.core import BudgetError, OptionError
from whence.core.registry import slug


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_names(name):
    for spelled in (name, slug(name), slug(name).replace("-", "_"), name.lower()):
        assert type(method_by_name(spelled)).__name__ == name


def test_misspelt_names_and_options():
    with pytest.raises(OptionError, match="did you mean 'KernelShap'"):
        method_by_name("kernel-shp")
    with pytest.raises(OptionError, match="did you mean 'ridge'"):
        method_by_name("lime", {"rigde": 1})
    with pytest.raises(OptionError, match="no options"):
        method_by_name("random", {"x": 1})
    with pytest.raises(OptionError, match="already made"):
        method_by_name(Lime(), {"ridge": 0.1})
    assert method_by_name("lime", {"ridge": 0.5}) == Lime(ridge=0.5)
    assert method_by_name(Lime()) == Lime()


@pytest.mark.parametrize(
    ("n", "budget", "gradients", "kind"),
    [
        (3, None, False, ShapleyValues),
        (10, None, True, ShapleyValues),
        (11, None, True, KernelShap),
        (14, 20_000, False, ShapleyValues),
        (14, 16_383, False, KernelShap),
        (40, 322, True, KernelShap),
        (40, 321, False, LeaveOneOut),
        (40, 49, True, KernelShap),
        (40, 48, True, LeaveOneOut),
        (40, 41, True, IntegratedGradients),
        (40, 5, True, InputXGradient),
    ],
)
def test_the_budget_chooses(n, budget, gradients, kind):
    method, why = choose(n, budget, gradients=gradients)
    assert isinstance(method, kind)
    assert why.startswith(kind.__name__)


@pytest.mark.parametrize(
    ("n", "budget", "kind"),
    [
        (3, None, LinearDatamodel),
        (12, None, LinearDatamodel),
        (40, 42, LinearDatamodel),
        (40, 41, IntegratedGradients),
    ],
)
def test_sources_of_an_answer_are_sought_by_a_linear_datamodel(n, budget, kind):
    method, why = choose(n, budget, gradients=True, sources=True)
    assert isinstance(method, kind)
    assert why.startswith(kind.__name__)


@pytest.mark.parametrize("gradients", [True, False])
def test_too_little_for_anything(gradients):
    with pytest.raises(BudgetError, match="LeaveOneOut needs 42") as error:
        choose(40, 1, gradients=gradients)
    assert error.value.needed == 42
