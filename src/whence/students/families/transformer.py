"""A small transformer that copies the teacher: compact, and nobody can read it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

from whence.core.errors import InputError, OptionError, WriteError
from whence.core.files import write_advice
from whence.models.compact.sizes import Sizes
from whence.models.protocols import Model
from whence.students.families.base import Fitted, ReadingCost, Reasons, Student, training_weights
from whence.students.features.vectorizer import Features, ReadableFeatures

if TYPE_CHECKING:
    from whence.models.adapters.classifier import SequenceClassifier
    from whence.models.compact.training import Epoch

__all__ = ["FittedTransformer", "Transformer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Transformer(Sizes, Student):
    """A BERT of a few layers, trained from nothing on the teacher's probabilities.

    With ``T`` the temperature, the loss of a text is

        T^2 KL(softmax(z_teacher / T) || softmax(z_student / T))

    in nats. That is all there is for a black box: the student learns a vocabulary of its own from
    the texts, and needs nothing but the teacher's answers. Where ``hidden_weight`` or
    ``attention_weight`` is above 0, the teacher's layers are matched too: it must then be a
    transformers model in memory, and the student takes its tokenizer, so that tokens stand for
    tokens; see :func:`whence.models.compact.fit.shrink`.

    It follows word order and combinations, which no sum of words can; it is the rung of the
    frontier where compactness is bought with opacity. No pass of the teacher beyond its answers
    for a black box; one more a text where layers are matched.

    Trained on the answers alone it starts from random weights, and a few thousand texts are few:
    where the decision goes mostly by single words, a linear student agrees with the teacher more
    often. Of a sentiment classifier's answers to 4,000 sentences it learnt to agree on 75% of
    others, the linear student on 77%, and one that matched states and attention on 82%.
    Positions beyond the longest text of training were never trained.

    Hinton et al. (2015), arXiv:1503.02531; Jiao et al. (2020), arXiv:1909.10351; Wang et al.
    (2020), arXiv:2002.10957.

    The settings are those of :class:`whence.models.compact.sizes.Sizes`.

    Example:
        >>> Transformer(layers=2, hidden=64, heads=2).name
        'transformer-2x64'
    """

    readable = False

    @classmethod
    def of_size(cls, size: str) -> Student:
        """The transformer of layers and width: ``"2x128"``."""
        layers, _, hidden = size.partition("x")
        if not (layers.isdecimal() and hidden.isdecimal()):
            raise OptionError(f"expected layers and width such as 2x128, got {size!r}")
        return cls(layers=int(layers), hidden=int(hidden))

    @property
    def name(self) -> str:
        """``transformer-2x128``: layers and width."""
        return f"{self.family()}-{self.layers}x{self.hidden}"

    def check(self, labels: Sequence[str]) -> None:
        """Refuse sizes, rates and weights out of their range, before anything is asked."""
        self.refuse_invalid()

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
        texts: Sequence[str] | None = None,
        select: tuple[Sequence[str], Float[np.ndarray, "held labels"]] | None = None,
        teacher: Model | None = None,
    ) -> FittedTransformer:
        """Train it; the same seed gives the same weights, bit for bit.

        Args:
            table: row for each text; only their number is used.
            targets: probabilities of the teacher.
            features: features of the columns; none is used.
            labels: labels of the columns of ``targets``.
            weights: weight of each text; all equal by default.
            texts: texts of the rows, as far as the teacher read them.
            select: texts and the teacher's probabilities that decide when to stop; a tenth of
                the texts where not given.
            teacher: model whose layers are matched, where a weight above 0 needs it.

        Raises:
            OptionError: sizes out of their range, or a teacher that no weight asks for.
            InputError: no texts, or shapes that do not fit.
            TextTooLongError: a text of more than ``tokens`` tokens.
            CapabilityError: a teacher whose layers cannot be matched.
            ModelOutputError: training diverged.
        """
        share = training_weights(table, targets, features, labels, weights)
        if texts is None or len(texts) != len(targets):
            number = "none" if texts is None else len(texts)
            raise InputError(
                f"expected the {len(targets)} texts of the rows in texts=, got {number}; a "
                "transformer reads texts"
            )
        if select is not None and select[1].shape != (len(select[0]), len(labels)):
            raise InputError(
                f"expected one row a text and {len(labels)} columns of probabilities in select, got "
                f"{len(select[0])} texts and shape {select[1].shape}"
            )
        # Imported here: the registry reads this file for every student, and this one alone needs
        # torch.
        from whence.models.compact.fit import shrink

        shrunk = shrink(
            texts, targets, labels=labels, sizes=self, select=select, weights=share,
            teacher=teacher,
        )  # fmt: skip
        return FittedTransformer(shrunk.model, shrunk.epochs[: shrunk.best + 1])


class FittedTransformer(Fitted):
    """A small transformer that was taught; it decides, and gives no reasons of its own.

    Args:
        model: classifier, as training made it or as :func:`whence.load` gives it.
        epochs: losses of training up to its weights.
    """

    readable = False

    def __init__(self, model: SequenceClassifier, epochs: Sequence[Epoch] = ()) -> None:
        super().__init__(model.labels, Features(ReadableFeatures(), ()))
        self.model = model
        self.epochs = tuple(epochs)

    def predict_proba(
        self, texts: Sequence[str], read_to: Sequence[int] | None = None
    ) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of all labels.

        Args:
            texts: texts that are not empty.
            read_to: characters the teacher reads of each; what follows is not looked at.

        Raises:
            TextTooLongError: a text of more tokens than the student reads.
        """
        from whence.models.compact.fit import probabilities

        read = texts if read_to is None else [t[:n] for t, n in zip(texts, read_to, strict=True)]
        return probabilities(self.model, read)

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """Refused: it reads texts.

        Raises:
            InputError: always.
        """
        raise InputError(
            "a table of features given to a small transformer, which reads texts; ask "
            "predict_proba(texts)"
        )

    @property
    def parameters(self) -> int:
        """Numbers in all its weights."""
        return sum(int(weight.numel()) for weight in self.model.module.parameters())

    @property
    def reading_cost(self) -> ReadingCost:
        """Every parameter: nothing less says what it does."""
        return ReadingCost(0, self.parameters)

    def explain(self, text: str) -> Reasons:
        """Refused: it cannot be read.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"reasons asked of a small transformer, and none can be read off its "
            f"{self.parameters:,} parameters. Attribute its decision instead, as any model's: "
            "student.save(folder), then whence.explain(whence.load(folder), text)"
        )

    def to_json(self) -> dict[str, Any]:
        """Its sizes and labels; the weights are what :meth:`save` writes."""
        config = self.model.config
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "layers": int(config.num_hidden_layers),
            "hidden": int(config.hidden_size),
            "heads": int(config.num_attention_heads),
            "vocabulary": int(config.vocab_size),
            "numbers": self.parameters,
        }

    def to_text(self) -> str:
        """Its size alone."""
        config = self.model.config
        return (
            f"{self.parameters:,} parameters of a transformer with {config.num_hidden_layers} "
            f"layers of {config.num_attention_heads} heads, {config.hidden_size} wide, and a "
            f"vocabulary of {config.vocab_size:,}: nothing to read"
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write it as transformers does: configuration, safetensors and tokenizer.

        ``whence.load(folder)`` gives a classifier with the teacher's label names that answers as
        this student does. The folder appears whole or not at all.

        Raises:
            OptionError: something stands there already.
            WriteError: no such parent folder, no permission, or a full disk.
        """
        from whence.models.compact.fit import save

        target = Path(folder)
        if target.exists():
            raise OptionError(f"{target} exists already; nothing is overwritten. Name a new folder")
        try:
            # In the folder that will hold it: a move within one file system is a renaming, which
            # happens whole or not at all.
            with tempfile.TemporaryDirectory(
                dir=target.parent, prefix=f".{target.name}."
            ) as temporary:
                inner = Path(temporary) / "model"
                save(self.model, inner)
                shutil.move(inner, target)
        except OSError as error:
            raise WriteError(
                f"could not write {target}: {error.strerror or error}. Nothing was left there; "
                f"{write_advice(target, error)}."
            ) from error
        return target
