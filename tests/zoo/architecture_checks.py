"""What whence gives for one tiny model, compared with the bare module called on one row at a time.

Attention is compared with the softmaxes that the module computes in its eager implementation, and
a knock-out with that implementation where the scores of the cut cells are made minus infinity.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from tests.zoo.architectures import Architecture, build

import whence
from whence.core.errors import WhenceError
from whence.models.protocols import Row

__all__ = ["CHECKS", "check"]

TEXT = "she missed four payments but not the loan"
OTHER = "the bank may end it"
LONG = TEXT + " and he denies a mild cough since monday so the bank may end it"
ANSWER = (40, 41, 42)
"""Ids of a continuation: what they stand for does not matter, and how they are cut from a text does."""
CLOSE = 1e-5
OTHER_TASKS = ("token_classification", "masked_lm")


class Wrong(Exception):
    """A number that is not the module's."""


class Model:
    """A row's module, what whence loads it as, and the module's own answers."""

    def __init__(self, architecture: Architecture) -> None:
        self.module, self.tokenizer = build(architecture)
        self.whence = whence.load((self.module, self.tokenizer))
        self.task = self.whence.task
        if self.task == "embedding":
            self.module = _encoder(self.module)
        if self.task in OTHER_TASKS:
            return
        self.encoding = self.whence.encode(TEXT)
        self.ids = self.encoding.ids
        self.forced = list(ANSWER)
        targets = [] if self.target is None else [self.target]
        self.readout = self.whence.readout(self.encoding, targets, link=self.link)

    @property
    def target(self) -> Any:
        if self.task == "classification":
            return whence.Label(label=1)
        if self.task == "embedding":
            return whence.Similarity(other=OTHER)
        return whence.Continuation(token_ids=ANSWER) if self.task in ("causal", "seq2seq") else None

    @property
    def link(self) -> Any:
        return "logit" if self.task == "classification" else None

    def inputs(self, ids: Sequence[int]) -> dict[str, torch.Tensor]:
        row = list(ids) + (self.forced[:-1] if self.task == "causal" else [])
        tensor = torch.tensor([row])
        inputs = {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}
        if self.task in ("causal", "seq2seq"):
            # What is forced is read at once, which a few families that fill a cache let see its future.
            inputs["use_cache"] = False
        if self.task == "seq2seq":
            start = self.module.config.decoder_start_token_id
            inputs["decoder_input_ids"] = torch.tensor([[start, *self.forced[:-1]]])
        return inputs

    def output(self, ids: Sequence[int]) -> torch.Tensor:
        """Logits or states that the bare module gives for a row."""
        with torch.no_grad():
            output = self.module(**self.inputs(ids))
        first = output.last_hidden_state if self.task == "embedding" else output.logits
        return first[0].double()

    def value(self, ids: Sequence[int]) -> float:
        """The explained number of a row, from the bare module."""
        first = self.output(ids)
        if self.task == "classification":
            return float(first[1])
        if self.task == "embedding":
            other = self.output(self.whence.encode(OTHER).ids).mean(0)
            return float(torch.nn.functional.cosine_similarity(first.mean(0), other, dim=0))
        scores = torch.log_softmax(first[-len(self.forced) :], -1)
        return float(sum(scores[i, token] for i, token in enumerate(self.forced)))

    def without(self, token: int) -> list[int]:
        return [int(i) for place, i in enumerate(self.ids) if place != token]

    @property
    def words(self) -> list[int]:
        return np.flatnonzero(~self.encoding.frozen).tolist()

    def explain(self, method: str, **more: Any) -> Any:
        settings = {"target": self.target, "link": self.link, "unit": "token", "trust": "off"}
        return whence.explain(self.whence, TEXT, method=method, **settings, **more)


def check(architecture: Architecture) -> dict[str, Any]:
    """One row: what each check came to: ``right``, ``wrong: ...``, ``refused: ...``, ``crash: ...``."""
    row: dict[str, Any] = {"key": architecture.key, "model_type": architecture.model_type}
    try:
        module, tokenizer = build(architecture)
    except Exception as error:  # the configuration could not be shrunk: nothing is said of whence
        return {**row, "built": f"{type(error).__name__}: {str(error)[:200]}"}
    try:
        alone = _encoder(module) if architecture.row == "embedding" else module
        _runs(alone, tokenizer, architecture.row)
    except Exception as error:
        # It reads no text alone (pixels are required); whence then has to say so.
        row["bare"] = f"{type(error).__name__}: {str(error)[:200]}"
    models: list[Model] = []
    row["load"] = _outcome(lambda: models.append(Model(architecture)))
    # Of words and masks other tests tell: here, that such a model is known for what it is.
    if models and models[0].task in OTHER_TASKS:
        return {**row, "task": models[0].task}
    if models:
        row["task"] = models[0].task
        for name, one in CHECKS.items() if "bare" not in row else (("scores", scores),):
            row[name] = _outcome(lambda one=one: one(models[0]))
    return row


def _encoder(module: Any) -> Any:
    """Of an encoder-decoder whose decoder needs a text of its own, the encoder."""
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    if not module.config.is_encoder_decoder:
        return module
    try:
        with torch.no_grad():
            module(input_ids=ids, attention_mask=torch.ones_like(ids))
    except Exception:
        return module.get_encoder()
    return module


def _runs(module: Any, tokenizer: Any, row: str) -> None:
    """One pass of the bare module over text alone."""
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    decoder = {"decoder_input_ids": ids[:, :3]} if row in ("seq2seq", "multimodal") else {}
    if not module.config.is_encoder_decoder:
        decoder = {}
    if row in ("causal", "seq2seq", "multimodal"):
        decoder["use_cache"] = False
    with torch.no_grad():
        module(input_ids=ids, attention_mask=torch.ones_like(ids), **decoder)


def _outcome(one: Callable[[], Any]) -> str:
    try:
        return str(one() or "right")
    except Wrong as error:
        return f"wrong: {error}"
    except WhenceError as error:
        return f"refused: {error}"
    except Exception as error:
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = "" if where is None else f" ({where.tb_frame.f_code.co_filename.split('/')[-1]})"
        return f"crash: {type(error).__name__}: {str(error)[:200]}{place}"


def _near(got: float, right: float, what: str, limit: float = CLOSE) -> None:
    if not abs(got - right) <= limit * max(1.0, abs(right)):
        raise Wrong(f"{what} {got:.5g} for {right:.5g}")


def scores(model: Model) -> None:
    """The value of the whole text, and leave-one-out, row by row."""
    result = model.explain("leave-one-out", masker="deletion")
    whole = model.value(model.ids)
    _near(float(result.values[0]), whole, "value")
    for place, token in enumerate(model.words):
        right = whole - model.value(model.without(token))
        _near(float(result.scores[place, 0]), right, f"leave-one-out {place}")


def prefix(model: Model) -> str | None:
    """Rows of one start in one batch give what they give alone."""
    encoding = model.whence.encode(LONG)
    readout = model.whence.readout(encoding, [model.target], link=model.link)
    ids = encoding.ids
    rows = [ids, np.delete(ids, len(ids) - 3), np.delete(ids, [len(ids) - 5, len(ids) - 4])]
    values = model.whence.evaluate([Row(ids=row) for row in rows], readout).values[:, 0]
    for row, value in zip(rows, values, strict=True):
        _near(float(value), model.value(row.tolist()), "batched")
    cache = getattr(readout, "cache", None) or {}
    if model.task != "causal":
        return None
    if "reuse" not in readout.shortcuts.taken:
        return "right, each row anew"
    return "right" if cache.get("state") else "not reused"


def gradients(model: Model) -> None:
    """The value at the embeddings is that at the ids, and the slope is the value's own."""
    model.explain("integrated-gradients")
    point = model.whence.embed(model.encoding)

    def at(points: np.ndarray) -> Any:
        return model.whence.gradients(model.encoding, points, model.readout)

    first = at(point[None])
    _near(float(first.values[0, 0]), model.value(model.ids), "value at the embeddings", 1e-4)
    slope = first.gradients[0, 0].astype(np.float64)
    direction = np.random.default_rng(0).standard_normal(point.shape)
    direction *= np.sqrt((point**2).mean())
    right = float((slope * direction).sum())
    size = float(np.linalg.norm(slope) * np.linalg.norm(direction))
    misses = []
    for step in (3e-4, 3e-3, 3e-2):
        ends = np.stack([point + step * direction, point - step * direction])
        values = at(ends.astype(np.float32)).values[:, 0]
        misses.append(abs(float(values[0] - values[1]) / (2 * step) - right))
    # Of the gradient's own size along a random direction; the value itself has a rounding of 1e-6.
    if min(misses) > 0.05 * size + 1e-3:
        raise Wrong(f"slope misses the finite difference by {min(misses):.3g} of {size:.3g}")


class _Collect:
    """Takes every weight of a pass."""

    def __init__(self) -> None:
        self.layers: list[tuple[Any, np.ndarray]] = []
        self.errors: list[float] = []
        self._rows: list[np.ndarray] = []

    def rows(self, call: Any, start: int, weights: np.ndarray, seen: np.ndarray) -> None:
        self._rows.append(weights[0])

    def close(self, call: Any, error: float, rounding: float) -> None:
        self.layers.append((call, np.concatenate(self._rows, axis=1)))
        self.errors.append(error)
        self._rows = []


def attention(model: Model) -> str | None:
    """Weights of the answering pass: rows sum to one, none of the future, those of a softmax."""
    sink = _Collect()
    forced = model.forced[:-1] if model.task in ("causal", "seq2seq") else []
    model.whence.attention(model.encoding, sink, forced=forced, row_block=5)
    returned = [e for e in sink.errors if np.isnan(e)]
    missed = [e for e in sink.errors if e > 1e-3]
    causal = reads_no_future(model)
    with _eager(model) as softmaxes:
        answer = model.output(model.ids) if softmaxes is not None else None
    for (call, weights), error in zip(sink.layers, sink.errors, strict=True):
        if error > 1e-3:
            continue
        if model.task == "causal" and call.keys == call.queries and causal:
            future = np.triu(np.ones(weights.shape[1:]), 1) * weights
            if future.sum(-1).max() > 1e-6:
                raise Wrong(f"{call.name} reads {future.sum(-1).max():.3f} of the future")
        if weights.sum(-1).max() > 1 + 1e-3:
            raise Wrong(f"a row of {call.name} sums to {weights.sum(-1).max():.4f}")
        if answer is not None and softmaxes:
            _is_one_of(weights, softmaxes, call.name)
    whence.attend(model.whence, TEXT, target=model.target, link=model.link, token_budget=4000)
    if returned:
        return "right, as the model returns them"
    return f"not shown: {len(missed)} of {len(sink.errors)} layers" if missed else None


def _is_one_of(weights: np.ndarray, softmaxes: list[np.ndarray], name: str) -> None:
    queries, keys = weights.shape[1:]
    best = np.inf
    for each in softmaxes:
        if each.shape[0] != weights.shape[0] or each.shape[1] != queries or each.shape[2] < keys:
            continue
        # A sink is one column more. A row that may read nothing has weights of zero, and means nothing.
        gap = np.abs(each[:, :, :keys] - weights).max(-1)
        best = min(best, float(gap[weights.any(-1)].max(initial=0.0)))
    if best > 1e-3:
        raise Wrong(f"{name}: no softmax of the module comes nearer than {best:.3g}")


def reads_no_future(model: Model) -> bool:
    """Whether a change of the last token moves no earlier output."""
    if model.task != "causal":
        return False
    first = model.output(model.ids)
    changed = [*model.ids[:-1], int(model.ids[0])]
    place = len(model.ids) - 1
    if len(first) < place:
        return False
    return bool((first[:place] - model.output(changed)[:place]).abs().max() < 1e-4)


@contextmanager
def _eager(model: Model, cut: int | None = None) -> Generator[list[np.ndarray] | None]:
    """The module in its eager implementation, and the softmaxes over heads that it computes.

    With ``cut`` no query but its own reads that key. ``None`` where eager answers otherwise.
    """
    # A copy: parts that have no other implementation refuse to be put back.
    module, found = model.module, []
    before = model.output(model.ids)
    original, original_sum = torch.nn.functional.softmax, torch.logsumexp
    count = len(model.inputs(model.ids)["input_ids"][0])

    def cut_off(scores: torch.Tensor) -> torch.Tensor:
        if scores.dim() == 4 and scores.shape[-1] >= count and cut is not None:
            scores = scores.clone()
            rows = torch.arange(scores.shape[2])
            if scores.shape[2] == count:
                rows = rows[rows != cut]
            scores[:, :, rows, cut] = torch.finfo(scores.dtype).min
        return scores

    def logsumexp(scores: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        # Sinks in closed form.
        return original_sum(cut_off(scores), *args, **kwargs)

    def softmax(scores: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        weights = original(cut_off(scores), *args, **kwargs)
        if weights.dim() == 4:
            found.append(weights[0].float().detach().numpy())
        return weights

    try:
        model.module = copy.deepcopy(module)
        model.module.set_attn_implementation("eager")
        same = float((model.output(model.ids) - before).abs().max()) < 1e-4
        torch.nn.functional.softmax, torch.logsumexp = softmax, logsumexp
        yield found if same else None
    finally:
        torch.nn.functional.softmax, torch.logsumexp = original, original_sum
        model.module = module


def knockout(model: Model) -> str | None:
    """What a knock-out takes is what the eager module loses whose scores are cut."""
    result = model.explain("attention-knockout", options={"readers": "everyone"})
    place = len(model.words) // 2
    with _eager(model, cut=model.words[place]) as softmaxes:
        if softmaxes is None:
            return "right, not compared"
        cut = model.value(model.ids)
    if not softmaxes:
        return "right, not compared"
    whole = model.value(model.ids)
    _near(float(result.values[0]), whole, "value", 1e-4)
    _near(float(result.scores[place, 0]), whole - cut, "knock-out", 1e-3)
    return None


def rollout(model: Model) -> None:
    """Shares of mass sum to one at most."""
    result = model.explain("rollout")
    if not 0 <= float(result.scores.sum()) <= 1 + 1e-4:
        raise Wrong(f"rollout sums to {float(result.scores.sum()):.4f}")


def value_zeroing(model: Model) -> None:
    """The value from which it subtracts is the answer."""
    result = model.explain("value-zeroing", options={"effect": "target"})
    _near(float(result.values[0]), model.value(model.ids), "value", 1e-4)


CHECKS: dict[str, Callable[[Model], Any]] = {
    "scores": scores,
    "prefix": prefix,
    "gradients": gradients,
    "attention": attention,
    "knockout": knockout,
    "rollout": rollout,
    "value_zeroing": value_zeroing,
}
