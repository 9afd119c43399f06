"""Generated texts and tables whose truth is known."""

import numpy as np
from scipy import sparse

from whence.students.certificate.check_options import Checks
from whence.students.data.training_set import TrainingSet, TrainingTable
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures

FILLER = [f"word{i}" for i in range(60)]
SIGNALS = ["late", "waived", "fraud", "steady", "loan"]

UNCHECKED = Checks(refits=0, topics=0, curve=0, permutations=0)
"""For a test of what is learnt, not of what the certificate says beside agreement."""
BRIEF = Checks(refits=2, topics=2, curve=1, permutations=9)
"""Every check, each at its smallest."""


def texts(count, seed=0, length=12, rate=0.3):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = list(rng.choice(FILLER, size=length))
        words += [word for word in SIGNALS if rng.random() < rate]
        rng.shuffle(words)
        found.append(" ".join(words))
    return found


def rule(text):
    words = set(text.split())
    if "fraud" in words or ("late" in words and "waived" not in words):
        return "reject"
    return "accept"


def one_hot(answers, labels):
    return np.array([[float(a == label) for label in labels] for a in answers])


def table(rows, columns, density=0.1, seed=0):
    rng = np.random.default_rng(seed)
    dense = (rng.random((rows, columns)) < density).astype(float)
    names = [Feature("ngram", f"f{j:04d}") for j in range(columns)]
    return sparse.csr_array(dense), Features(ReadableFeatures(), names)


def training(table, targets, features, labels, **columns):
    """A training table of whole texts, each a document of its own unless columns say otherwise."""
    rows = table.shape[0]
    examples = {
        "texts": [""] * rows,
        "kinds": np.zeros(rows, dtype=int),
        "weights": np.ones(rows),
        "groups": np.arange(rows),
        **columns,
    }
    own = TrainingSet(targets=targets, labels=tuple(labels), **examples)
    return TrainingTable(examples=own, features=features, table=table)
