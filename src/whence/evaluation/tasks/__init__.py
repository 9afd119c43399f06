"""Ground-truth tasks: texts and games whose reasons are known, so explanations can be checked."""

from whence.evaluation.tasks.analytic import AnalyticGame
from whence.evaluation.tasks.cases import CASES, SHORTCUT
from whence.evaluation.tasks.deceivers import Backdoored, Scaffolded, ScaffoldedModel
from whence.evaluation.tasks.finding import average_precision, precision_at_k, reciprocal_rank
from whence.evaluation.tasks.grammar import GRAMMARS
from whence.evaluation.tasks.item import Rule, Task, TaskItem
from whence.evaluation.tasks.planted import PLANTED

TASKS: dict[str, Task] = {**PLANTED, **GRAMMARS, **CASES, SHORTCUT.name: SHORTCUT}
"""Every task by its name."""

__all__ = [
    "TASKS",
    "AnalyticGame",
    "Backdoored",
    "Rule",
    "Scaffolded",
    "ScaffoldedModel",
    "Task",
    "TaskItem",
    "average_precision",
    "precision_at_k",
    "reciprocal_rank",
]
