"""The checks of annotations are on, and find what they are there for."""

import dataclasses

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError
from tests.type_checks import NAME, checked

from whence.core.statistics.proportions import proportion
from whence.students.fitting import logistic


@checked
def product(a: Float[np.ndarray, "n m"], b: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    return a @ b if b.any() else b


@checked
def later(node: "Node | None") -> "list[Node]":
    return [node] if node else []


@checked
def numbers(count: int):
    yield from range(count)


@checked
@dataclasses.dataclass(frozen=True)
class Node:
    name: str
    sizes: tuple[int, ...] = ()


def test_functions_of_the_package_are_checked():
    assert hasattr(logistic.softmax, NAME)
    with pytest.raises(TypeCheckError):
        proportion("3", 4)
    with pytest.raises(TypeCheckError):
        logistic.softmax(np.zeros((2, 2), dtype=int))


def test_shapes_agree_between_arguments_and_result():
    assert product(np.ones((2, 3)), np.ones(3)).tolist() == [3.0, 3.0]
    for a, b in [((2, 3), 2), ((2,), 2)]:
        with pytest.raises(TypeCheckError):
            product(np.ones(a), np.ones(b))
    with pytest.raises(TypeCheckError):
        product(np.ones((2, 3)), np.zeros(3))
    # A call starts with no axis named, whatever the call before was given.
    assert product(np.ones((4, 5)), np.ones(5)).shape == (4,)


def test_names_that_are_defined_further_down_are_checked():
    node = Node("a")
    assert later(node) == [node]
    with pytest.raises(TypeCheckError):
        later("a")


def test_dataclasses_and_generators():
    assert Node("a", sizes=(1, 2)).sizes == (1, 2)
    for wrong in ({"name": 1}, {"name": "a", "sizes": ("1",)}):
        with pytest.raises(TypeCheckError):
            Node(**wrong)
    assert list(numbers(2)) == [0, 1]
    with pytest.raises(TypeCheckError):
        list(numbers("2"))
