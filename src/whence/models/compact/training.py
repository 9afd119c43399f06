"""The training of a small transformer: its loss, its steps, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import ModelOutputError
from whence.models.adapters.base import TorchModel
from whence.models.adapters.classifier import SequenceClassifier
from whence.models.compact.losses import attention_loss, hidden_loss, soft_loss
from whence.models.compact.sizes import Sizes
from whence.models.compact.teacher_states import TeacherViews
from whence.models.protocols import Row

__all__ = ["Batch", "Epoch", "Losses", "logits_of", "train"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """Losses of one round over the texts: the whole one of training, the divergence of the rest."""

    fit: float
    select: float


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Texts of about one length: token ids, their padded table, and what the teacher said."""

    rows: list[Row]
    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """The loss of a batch; what a teacher's layers hold of it is asked where they are matched."""

    module: Any
    sizes: Sizes
    views: TeacherViews | None
    projections: torch.nn.ModuleList

    @classmethod
    def of(
        cls,
        model: SequenceClassifier,
        batches: Sequence[Batch],
        sizes: Sizes,
        teacher: TorchModel | None,
    ) -> Losses:
        """Projections drawn, and the teacher asked for its first batch where states are matched."""
        projections = torch.nn.ModuleList()
        if teacher is None:
            return cls(model.module, sizes, None, projections)
        views = TeacherViews(teacher, layers=sizes.layers, attention=sizes.attention_weight > 0)
        if sizes.hidden_weight > 0:
            width = views.of(0, batches[0].rows).states[0].shape[-1]
            projections.extend(torch.nn.Linear(sizes.hidden, width) for _ in range(sizes.layers))
        return cls(model.module, sizes, views, projections)

    def __call__(self, number: int, batch: Batch) -> torch.Tensor:
        """The loss of batch ``number``; its gradient reaches the student and the projections."""
        sizes = self.sizes
        result = self.module(
            **batch.inputs,
            output_hidden_states=sizes.hidden_weight > 0,
            output_attentions=sizes.attention_weight > 0,
        )
        loss = soft_loss(batch.targets, result.logits, sizes.temperature, batch.weights)
        if self.views is None:
            return loss
        view = self.views.of(number, batch.rows)
        read = batch.inputs["attention_mask"].bool()
        if sizes.hidden_weight > 0:
            each = [
                hidden_loss(aim, project(state), read)
                for aim, project, state in zip(
                    view.states, self.projections, result.hidden_states[1:], strict=True
                )
            ]
            loss = loss + sizes.hidden_weight * torch.stack(each).mean()
        if sizes.attention_weight > 0:
            each = [
                attention_loss(aim, weights.mean(dim=1), read)
                for aim, weights in zip(view.attention, result.attentions, strict=True)
            ]
            loss = loss + sizes.attention_weight * torch.stack(each).mean()
        return loss


def train(
    model: SequenceClassifier,
    batches: Sequence[Batch],
    holdout: Sequence[Row],
    aims: torch.Tensor,
    sizes: Sizes,
    teacher: TorchModel | None,
) -> tuple[tuple[Epoch, ...], int]:
    """Teach ``model`` in place; how each epoch went, and which one the weights are of.

    Raises:
        CapabilityError: a teacher whose layers cannot be matched.
        ModelOutputError: training diverged.
    """
    module = model.module
    losses = Losses.of(model, batches, sizes, teacher)
    learnt = [*module.parameters(), *losses.projections.parameters()]
    # Weight decay, a warm-up over the first tenth, the linear fall and gradients clipped at a norm
    # of 1: what BERT was fine-tuned with (Devlin et al. 2019, appendix A.2, and its released
    # run_classifier.py and optimization.py).
    optimiser = torch.optim.AdamW(learnt, lr=sizes.rate, weight_decay=0.01)
    steps = sizes.epochs * len(batches)
    warm = max(1, steps // 10)

    def factor(step: int) -> float:
        return min((step + 1) / warm, (steps - step) / max(1, steps - warm))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    # A generator of its own: the order of batches does not depend on how much dropout has drawn.
    order = np.random.default_rng(sizes.seed)
    history: list[Epoch] = []
    best, best_weights = 0, dict[str, torch.Tensor]()
    for epoch in range(sizes.epochs):
        module.train()
        total = 0.0
        for number in order.permutation(len(batches)).tolist():
            loss = losses(number, batches[number])
            if not bool(torch.isfinite(loss)):
                raise ModelOutputError(
                    f"training diverged in epoch {epoch + 1}: its loss is {float(loss.detach())}. Give a "
                    f"lower rate than {sizes.rate}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        module.eval()
        with torch.no_grad():
            # Epochs are compared at temperature 1, without dropout and without the losses of
            # states: by the answers that the student will give.
            reached = torch.from_numpy(logits_of(model, holdout)).float()
            history.append(Epoch(total / len(batches), float(soft_loss(aims, reached, 1.0))))
        if not best_weights or history[-1].select < history[best].select:
            best = epoch
            # state_dict gives the live tensors, which the next step would change.
            best_weights = {name: value.clone() for name, value in module.state_dict().items()}
        if epoch - best >= sizes.patience:
            break
    module.load_state_dict(best_weights)
    # Training needed the weights of the softmax; from here on it runs as a loaded model does.
    module.set_attn_implementation("sdpa")
    module.zero_grad(set_to_none=True)
    return tuple(history), best


def logits_of(
    model: SequenceClassifier, rows: Sequence[Row], batch: int = 64
) -> Float[np.ndarray, "texts labels"]:
    """Logits of many rows, in batches of about one length."""
    result = np.empty((len(rows), len(model.labels)))
    order: Int[np.ndarray, " texts"] = np.argsort([len(row) for row in rows], kind="stable")
    with torch.inference_mode(), model.running():
        for start in range(0, len(rows), batch):
            part: list[int] = order[start : start + batch].tolist()
            inputs = model.batch([rows[i] for i in part])
            result[part] = model.module(**inputs).logits.double().cpu().numpy()
    return result
