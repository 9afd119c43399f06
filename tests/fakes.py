"""Models that are a formula: known values, gradients and costs, no torch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from whence.core import Decision, Document, Label, ModelIdentity, Output
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Evaluated, Gradients, Vocabulary


class FakeModel:
    """A token model whose value is a function of the embeddings ``E[tokens, width]``.

    ``function(E) -> (value, gradient)``; token ``t`` has embedding ``table[t]``.
    """

    task = "classification"
    labels = ("a",)

    def __init__(self, function=None, *, table=None, tokenizer=None, most_rows=None, **special):
        rng = np.random.default_rng(3)
        self.table = rng.standard_normal((50, 4)).astype(np.float32) if table is None else table
        self._function = function or (lambda e: (float(e.sum()), np.ones_like(e)))
        self._tokenizer = tokenizer
        ids = {"mask_id": 4, "pad_id": 0, "bos_id": 2, "unknown_id": 1, "limit": None, **special}
        self.vocabulary = Vocabulary(size=len(self.table), **ids)
        self.identity = ModelIdentity(
            ref="fake", task="classification", architecture="Fake", fingerprint="fake"
        )
        self.most_rows = most_rows
        self.batches = []
        self.after = None

    def encode(self, source):
        return encoding_of(source)

    def tokenize(self, text):
        if self._tokenizer is not None:
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            return np.array(ids, dtype=np.int64)
        return np.array([7] * len(text.split()), dtype=np.int64)

    def decode(self, ids):
        return " ".join(map(str, ids))

    def decide(self, encoding):
        return Decision(text="a")

    def readout(self, encoding, targets, *, link=None, precision="native"):
        return readout()

    def evaluate(self, rows, readout):
        if self.most_rows is not None and len(rows) > self.most_rows:
            raise MemoryError
        if self.after is not None:
            self.after()
        self.batches.append([len(row) for row in rows])
        values = []
        for row in rows:
            seen = np.ones(len(row), bool) if row.attention is None else row.attention
            values.append([self._function(self.table[row.ids] * seen[:, None])[0]])
        return Evaluated(np.array(values), sum(len(row) for row in rows))

    def embed(self, encoding):
        return self.table[encoding.ids]

    def embed_ids(self, ids):
        return self.table[list(ids)]

    def mean_embedding(self):
        return self.table.mean(axis=0)

    def gradients(self, encoding, embeddings, readout):
        if self.most_rows is not None and len(embeddings) > self.most_rows:
            raise MemoryError
        self.batches.append([embeddings.shape[1]] * len(embeddings))
        found = [self._function(e.astype(np.float64)) for e in embeddings]
        return Gradients(
            np.array([[value] for value, _ in found]),
            np.array([[gradient] for _, gradient in found]),
        )


def readout(count=1):
    outputs = tuple(
        Output(name=f"o{i}", link="logit", unit="logit", target=Label(label=i))
        for i in range(count)
    )
    return SimpleNamespace(outputs=outputs, key=f"key{count}", extra_tokens=0)


def encoding_of(text, *, frozen_ends=True):
    """One token a word, ids by the order of words, between a start and an end token."""
    words = text.split()
    offsets, position = [], 0
    for word in words:
        start = text.index(word, position)
        offsets.append((start, start + len(word)))
        position = start + len(word)
    ids = [10 + i % 40 for i in range(len(words))]
    frozen = [False] * len(words)
    if frozen_ends:
        ids, offsets = [2, *ids, 3], [(0, 0), *offsets, (0, 0)]
        frozen = [True, *frozen, True]
    return Encoding(
        document=Document.plain(text),
        ids=np.array(ids, dtype=np.int64),
        offsets=np.array(offsets, dtype=np.int64).reshape(-1, 2),
        frozen=np.array(frozen, dtype=bool),
        token_types=np.zeros(len(ids), dtype=np.int64),
    )


def tokens_of(encoding):
    """Each token that is not frozen is a feature."""
    free = np.flatnonzero(~encoding.frozen)
    owner = np.full(len(encoding.ids), -1, dtype=np.int64)
    owner[free] = np.arange(len(free))
    return FeatureTokens(groups=tuple(np.array([t]) for t in free), owner=owner)
