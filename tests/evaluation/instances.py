"""Inputs with known answers, and one of a tiny model in double precision."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
from scipy.special import expit
from tests.zoo.families import FAMILIES

import whence
from whence.core import Label, Output
from whence.evaluation.instance import Instance, instance_of
from whence.evaluation.mask_pool import pool_of
from whence.games import FunctionGame
from whence.games.question import ask


def game_instance(n, function, *, size=64, seed=0, link=None):
    """The instance of a plain function; with ``link="log_odds"`` its answers tell probabilities."""
    game = FunctionGame(n, function)
    if link is not None:
        game.outputs = (Output(name="y", link=link, unit="nat", target=Label(label="y")),)
    return Instance(game, pool_of(game, size, seed=seed), seed=seed)


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
    """The instance of a tiny real model in double precision."""
    asked.setdefault("target", _falling(family, text))
    question = ask(_loaded(family), text, **asked)
    return instance_of(question, size=size, token_budget=budget)
