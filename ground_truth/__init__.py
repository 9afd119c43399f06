"""Ground-truth tasks: texts and games whose reasons are known, so explanations can be checked."""

from ground_truth.analytic import AnalyticGame
from ground_truth.cases import CASES, SHORTCUT
from ground_truth.deceivers import Backdoored, Scaffolded, ScaffoldedModel
from ground_truth.grammar import GRAMMARS
from ground_truth.item import Rule, Task, TaskItem
from ground_truth.planted import PLANTED
from ground_truth.reciprocal_rank import reciprocal_rank
from ground_truth.rules import RULES, RuleModel

TASKS: dict[str, Task] = {**PLANTED, **GRAMMARS, **CASES, SHORTCUT.name: SHORTCUT, **RULES}
"""Every task by its name."""

__all__ = [
    "RULES",
    "TASKS",
    "AnalyticGame",
    "Backdoored",
    "Rule",
    "RuleModel",
    "Scaffolded",
    "ScaffoldedModel",
    "Task",
    "TaskItem",
    "reciprocal_rank",
]
