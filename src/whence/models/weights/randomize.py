"""Parameters of a model drawn from a random generator for a while, and restored bit for bit.

Each tensor is drawn from a normal with its own mean and standard deviation. This keeps the scale
of every layer, so that the randomised model computes at all; it needs no initialiser, which
Conv1D, raw parameters and most norms lack; and it draws nothing from the global generators. A
constant tensor (a norm's ones, a bias of zeros) gets a standard deviation, since it would otherwise
stay as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch

from whence.core.errors import CapabilityError, OptionError, unknown
from whence.models.internals.module_lock import locked
from whence.models.internals.module_paths import outermost_block
from whence.models.public_call import forget

__all__ = ["Layer", "ParameterChange", "change_parameters", "layers_of", "randomize"]

FLOOR = 0.02
"""Standard deviation for a tensor of zeros, as most initialisers of transformers have it."""
OF_A_CONSTANT = 0.1
"""Standard deviation for a constant tensor, as a share of its value. Chosen by hand; not calibrated."""

CONSTANT = 1e-6
"""A standard deviation below this share of the mean is rounding: the tensor is constant."""

Rule = Callable[[str, torch.Tensor], torch.Tensor]
"""From a parameter's name and value to its replacement."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Parameters that are randomised in one step, by name."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """What a change of parameters reached, measured by the distance of each tensor.

    Attributes:
        distances: distance of each tensor named, ``|new - old| / |old|``.
        reached: count of numbers in tensors at a distance above zero.
        named: count of numbers in all tensors named.
        total: count of numbers in all parameters of the model, tied ones once.
    """

    distances: dict[str, float]
    reached: int
    named: int
    total: int

    @property
    def share(self) -> float:
        """The share of the model's parameters that was reached."""
        return self.reached / self.total if self.total else 0.0


def layers_of(model: Any) -> tuple[Layer, ...]:
    """The model's parameters in steps from the top down; together they are all of them.

    A numbered block is one step; what stands between blocks (embeddings, a final norm, a head)
    is one step for each run of neighbours in one module. Top down is the reverse of the order in
    which the model declares its parts. A tied weight belongs to the lowest part that has it.

    Raises:
        CapabilityError: the model gives no parameters.
    """
    names = list(_parameters(model))
    groups: list[tuple[str, list[str]]] = []
    for name in names:
        key = outermost_block(name) or name.rpartition(".")[0].rpartition(".")[0] + ".*"
        if not groups or groups[-1][0] != key:
            groups.append((key, []))
        groups[-1][1].append(name)
    layers: list[Layer] = []
    for key, inside in groups:
        owners = list(dict.fromkeys(name.rpartition(".")[0] or name for name in inside))
        name = key if not key.endswith(".*") else " + ".join(owners)
        layers.append(Layer(name, tuple(inside)))
    return tuple(reversed(layers))


def _parameters(model: Any) -> dict[str, Any]:
    module = getattr(model, "module", model)
    if not hasattr(module, "named_parameters"):
        named = getattr(getattr(model, "identity", None), "ref", type(model).__name__)
        raise CapabilityError(
            f"{named} gives only scores and no parameters. Models that work here: those loaded from "
            "transformers"
        )
    parameters = dict(module.named_parameters())
    if not parameters:
        raise CapabilityError(f"{type(module).__name__} has no parameters")
    return parameters


@contextmanager
def randomize(
    model: Any, *, seed: int, layers: Sequence[Layer | str] | None = None
) -> Generator[ParameterChange]:
    """Draw the parameters of some layers at random in this context; afterwards all are restored.

    What a tensor becomes depends on its name and the seed alone: a cascade that goes one layer
    further keeps what the shorter one drew.

    Args:
        model: model from :func:`whence.load`, or a module.
        seed: seed of the draw.
        layers: layers of :func:`layers_of`, or their names; none: all, which is every parameter.

    Raises:
        OptionError: no such layer.
        CapabilityError: parameters that are no floating-point numbers, or are not in memory.
    """
    every = {layer.name: layer for layer in layers_of(model)}
    chosen: list[str] = []
    for layer in every if layers is None else layers:
        name = layer.name if isinstance(layer, Layer) else layer
        if name not in every:
            raise unknown("layer", name, every)
        chosen += every[name].parameters

    def drawn(name: str, value: torch.Tensor) -> torch.Tensor:
        digest = hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()
        # A generator of the CPU, so that a model on a GPU gets the same numbers. Seven bytes: a
        # number that every integer type of torch holds as positive.
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        wide = value.detach().double() if value.dtype == torch.float64 else value.detach().float()
        mean = float(wide.mean())
        # Without the correction, which divides by 0 for a tensor of one number.
        spread = float(wide.std(correction=0))
        if spread <= CONSTANT * abs(mean) or spread == 0.0:
            spread = OF_A_CONSTANT * abs(mean) or FLOOR
        noise = torch.randn(value.shape, generator=generator, dtype=wide.dtype)
        return (mean + spread * noise).to(value.device, value.dtype)

    with change_parameters(model, chosen, drawn) as changed:
        missed = [name for name, distance in changed.distances.items() if not distance > 0]
        assert not missed, f"not randomised: {missed}"
        yield changed


@contextmanager
def change_parameters(model: Any, names: Sequence[str], rule: Rule) -> Generator[ParameterChange]:
    """Replace each named parameter by what ``rule`` gives for it, in this context.

    The values are written into the tensors that the model has, so that whatever is tied stays
    tied; they are written back, bit for bit, also after an exception. Other threads wait before
    they read the model, and go on once it is as it was.

    Raises:
        OptionError: no such parameter.
        CapabilityError: parameters that are no floating-point numbers, or are not in memory.
    """
    every = _parameters(model)
    wrong = [name for name in names if name not in every]
    if wrong:
        raise unknown("parameter", wrong[0], every)
    if len(set(names)) != len(names):
        raise OptionError("a layer was named twice")
    chosen = {name: every[name] for name in names if every[name].numel()}
    for name, parameter in chosen.items():
        _check(name, parameter)
    with locked(getattr(model, "module", model)):
        original = {name: parameter.detach().clone() for name, parameter in chosen.items()}
        try:
            with torch.no_grad():
                for name, parameter in chosen.items():
                    parameter.copy_(rule(name, original[name]))
                distances = {n: _distance(p.detach(), original[n]) for n, p in chosen.items()}
            forget()
            yield ParameterChange(
                distances=distances,
                reached=sum(chosen[n].numel() for n, d in distances.items() if d > 0),
                named=sum(parameter.numel() for parameter in chosen.values()),
                total=sum(parameter.numel() for parameter in every.values()),
            )
        finally:
            with torch.no_grad():
                for name, parameter in chosen.items():
                    parameter.copy_(original[name])
            forget()


def _check(name: str, parameter: Any) -> None:
    if not parameter.is_floating_point():
        raise CapabilityError(
            f"parameter {name} holds {parameter.dtype}, which cannot be drawn from a normal; "
            "load the model without quantisation"
        )
    if hasattr(parameter, "__tensor_flatten__"):
        raise CapabilityError(
            f"parameter {name} is a {type(parameter).__name__}, whose numbers cannot be replaced; load "
            "the model without quantisation"
        )
    if parameter.is_meta:
        raise CapabilityError(f"parameter {name} is not in memory; load the model whole")
    if parameter.is_inference():
        raise CapabilityError(
            f"parameter {name} was created in inference mode, outside of which torch lets nobody write "
            "to it; load the model outside of inference mode"
        )


def _distance(new: torch.Tensor, old: torch.Tensor) -> float:
    moved = cast("torch.Tensor", torch.linalg.vector_norm(new.double() - old.double()))
    size = cast("torch.Tensor", torch.linalg.vector_norm(old.double()))
    return float(moved) / (float(size) or 1.0)
