"""``whence.adopt``: scores of another tool as an explanation that can be judged."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from whence._version import __version__
from whence.core.arrays import frozen_array
from whence.core.errors import InputError, RecordError
from whence.core.explanations import Attribution
from whence.core.provenance import Cost, MethodSpec, Provenance, now
from whence.core.store import read_record_json
from whence.core.targets import Target
from whence.games.question import Question, ask
from whence.games.segmenters import Spans

__all__ = ["ELSEWHERE", "adopt", "read_explanation"]

ELSEWHERE = "as given"
"""The quantity of scores of another tool."""


def adopt(
    model: Any,
    text: str,
    scores: Sequence[tuple[Any, ...]],
    *,
    target: Target | str | int | None = None,
    link: str | None = None,
    method: str = "elsewhere",
) -> Attribution:
    """Scores of another tool as an attribution of ours, so that it can be judged.

    Args:
        model: model from :func:`whence.load`; it must be the model that was explained.
        text: text that was explained.
        scores: (word, score) of each feature in reading order, or (start, end, score) with the
            characters it begins at and ends before. What lies between features is never removed.
        target: target that was explained; none: what the model answers.
        link: scale of the scores; none: the model's usual one.
        method: name under which the scores are kept.

    Raises:
        InputError: a word that does not follow in the text, or a score that is no number.

    Cost: one evaluation.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> adopt(model, "late again", [("late", 0.9), ("again", 0.1)]).scores[:, 0].tolist()
        [0.9, 0.1]
    """
    spans, values = _located(text, scores)
    question = ask(model, text, target=target, link=link, unit=Spans(spans=spans))
    if len(question.segmentation) != len(spans):
        raise InputError(
            f"{len(question.segmentation)} of {len(spans)} features reach a token of "
            f"{question.model.identity.ref}; leave out the others, which it does not read"
        )
    return _attribution(question, values, method)


def read_explanation(model: Any, path: str | os.PathLike[str]) -> Attribution:
    """An explanation from a file: a record of whence, or ``{"text": ..., "scores": [...]}``.

    Of the latter, ``scores`` is a list of ``[word, score]`` or ``[start, end, score]``; ``target``,
    ``link`` and ``method`` may be given beside it.

    Raises:
        RecordError: the file cannot be read, or holds neither.
        InputError: the scores do not fit the text.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"could not read {path}: {error.strerror or error}") from error
    try:
        tree: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not JSON: {error}") from error
    # A record names its kind, which is no key of the plain form.
    if isinstance(tree, dict) and "kind" in cast("dict[str, Any]", tree):
        record = read_record_json(data, origin=str(path))
        if not isinstance(record, Attribution):
            raise RecordError(f"expected an attribution in {path}, got {type(record).__name__}")
        return record
    known = {"text", "scores", "target", "link", "method"}
    if not isinstance(tree, dict) or not {"text", "scores"} <= set(cast("dict[str, Any]", tree)):
        raise RecordError(
            f'{path} is neither a record of whence nor {{"text": ..., "scores": [[word, score], '
            "...]}"
        )
    content = cast("dict[str, Any]", tree)
    if set(content) - known:
        raise RecordError(
            f"{path} holds {', '.join(sorted(set(content) - known))}; only {', '.join(sorted(known))} "
            "are known"
        )
    rows = content["scores"]
    if not isinstance(rows, list) or not all(
        isinstance(row, list) for row in cast("list[Any]", rows)
    ):
        raise RecordError(f"{path}: scores are a list of [word, score] or [start, end, score]")
    return adopt(
        model,
        str(content["text"]),
        [tuple(row) for row in cast("list[list[Any]]", rows)],
        target=content.get("target"),
        link=content.get("link"),
        method=str(content.get("method", "elsewhere")),
    )


def _located(
    text: str, scores: Sequence[tuple[Any, ...]]
) -> tuple[tuple[tuple[int, int], ...], np.ndarray]:
    spans: list[tuple[int, int]] = []
    values: list[float] = []
    position = 0
    for index, row in enumerate(scores):
        number = row[-1] if row else None
        if (
            # True is an int, and no score.
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not np.isfinite(number)
        ):
            raise InputError(f"feature {index}: expected a finite score, got {number!r}")
        if len(row) == 3 and all(type(edge) is int for edge in row[:2]):
            start, end = row[:2]
        elif len(row) == 2 and isinstance(row[0], str) and row[0]:
            # From where the last word ended: a word that stands twice is found in the order of the
            # scores.
            start = text.find(row[0], position)
            if start < 0:
                raise InputError(
                    f"feature {index}: {row[0]!r} does not follow in the text after character "
                    f"{position}; give the words in reading order, as they are written"
                )
            end = start + len(row[0])
        else:
            raise InputError(
                f"feature {index}: expected (word, score) or (start, end, score), got {row!r}"
            )
        spans.append((start, end))
        values.append(float(number))
        position = end
    if not spans:
        raise InputError("expected one score or more, got none")
    return tuple(spans), np.array(values)


def _attribution(question: Question, values: np.ndarray, method: str) -> Attribution:
    outputs = question.readout.outputs
    if len(outputs) != 1:
        raise InputError(
            f"expected one output for scores from elsewhere, got {len(outputs)}; name one target"
        )
    game = question.game()
    return Attribution(
        segmentation=question.segmentation,
        outputs=outputs,
        scores=frozen_array(values[:, None]),
        std_errors=None,
        values=frozen_array(game.full()),
        # What the other tool compared with is unknown; NaN keeps completeness from being asked of
        # these scores.
        base_values=frozen_array([np.nan]),
        quantity=ELSEWHERE,
        decision=question.decision,
        completeness=None,
        outcome="converged" if np.any(values) else "degenerate",
        advice=(),
        notes=("the scores come from another tool; how they were computed is unknown",),
        provenance=Provenance(
            whence=__version__,
            created=now(),
            model=question.model.identity,
            method=MethodSpec(name=method),
            masker=None,
            segmenter=MethodSpec.of(question.segmenter),
            seed=0,
            cost=Cost(evaluations=1, distinct_evaluations=1),
        ),
    )
