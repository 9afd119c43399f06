"""Texts whose label is the order of two words, and students small enough to be taught at once."""

from dataclasses import replace

import numpy as np
import torch

from whence.models.compact.sizes import Sizes

LABELS = ["after", "before"]
FILLERS = ["the", "a", "good", "bad", "fine", "poor"]
TINY = Sizes(layers=1, hidden=16, heads=2, epochs=2, vocabulary=300, tokens=32, batch=8)
WHITE = replace(TINY, layers=2, hidden_weight=1.0, attention_weight=1.0)


def ordered(count, seed=0):
    """Texts with one ``no`` and one ``pain``; the label is which comes first."""
    rng = np.random.default_rng(seed)
    texts, rows = [], []
    for _ in range(count):
        words = list(rng.choice(FILLERS, size=4))
        first, second = sorted(rng.choice(5, size=2, replace=False))
        before = bool(rng.random() < 0.5)
        pair = ("no", "pain") if before else ("pain", "no")
        words.insert(first, pair[0])
        words.insert(second + 1, pair[1])
        texts.append(" ".join(words))
        rows.append([0.05, 0.95] if before else [0.95, 0.05])
    return texts, np.array(rows)


def weights_of(model):
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
