"""Inputs with known answers, and one of a tiny model in double precision."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
from scipy.special import expit
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.core import Label, Output
from whence.core.features import Document, Feature, Segmentation, Span
from whence.evaluation.instance import Instance, instance_of
from whence.evaluation.mask_pool import pool_of
from whence.games import FunctionGame
from whence.games.cache import MemoryCache
from whence.games.question import ask
from whence.workflows.rerun import explainers


def words(count):
    """Words w0 w1 .. of a text, each two characters with a space between; from 10 on, longer."""
    names = [f"w{i}" for i in range(count)]
    text, features = " ".join(names), []
    for name in names:
        start = features[-1].end + 1 if features else 0
        features.append(Feature(start=start, end=start + len(name), text=name, part="text"))
    return Segmentation(unit="word", document=Document.plain(text), features=tuple(features))


def spans(*indices):
    """The characters of some of the words w0 .. w9."""
    return [Span(start=3 * i, end=3 * i + 2) for i in indices]


def game_instance(n, function, *, size=64, seed=0, link=None):
    """The instance of a plain function; with ``link="log_odds"`` its answers tell probabilities."""
    game = FunctionGame(n, function)
    if link is not None:
        game.outputs = (Output(name="y", link=link, unit="nat", target=Label(label="y")),)
    return Instance(
        game,
        pool_of(game, size, seed=seed),
        seed=seed,
        segmentation=words(n),
        spans=tuple(spans(min(n // 2, 9))),
    )


def linear(weights, bias=0.0, **more):
    weights = np.asarray(weights, dtype=float)
    return game_instance(len(weights), lambda S: S @ weights + bias, **more)


@cache
def _loaded(family):
    tiny = FAMILIES[family]()
    return whence.load((copy.deepcopy(tiny.module).double(), tiny.tokenizer))


@cache
def _falling(family, text):
    """A label less likely with every embedding zero; the shares sum to 1, so there is one."""
    falls = {}
    for label in ("low", "middle", "high"):
        game = ask(_loaded(family), text, target=label).embedding_game()
        whole, none = game.at(np.stack([game.point(), game.baseline("zero")]))[0][:, 0]
        falls[label] = expit(whole) - expit(none)
    return max(falls, key=falls.__getitem__)


def model_instance(text="not a good payment", *, family="bert", size=64, budget=4096, **asked):
    """The instance of a tiny real model in double precision, with all that a metric may need."""
    labels = ("low", "middle", "high")
    if "target" not in asked:
        first = _falling(family, text)
        rest = [label for label in labels if label != first]
        asked["target"] = [Label(label=label) for label in (first, *rest)]
    model = _loaded(family)
    question = ask(model, text, **asked)
    instance = instance_of(question, size=size, token_budget=budget)
    if not question.model.labels:
        return instance
    explanation = explain(
        model, text, method="input-x-gradient", token_budget=budget, cache=MemoryCache(), **asked
    )
    return replace(
        instance,
        explanation=explanation,
        spans=(Span(start=6, end=10),),
        **explainers(question, explanation, 0, MemoryCache(), budget),
    )
