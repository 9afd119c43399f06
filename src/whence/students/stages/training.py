"""The second stage: the teacher's answers, and the training set that is made of them."""

from __future__ import annotations

from dataclasses import dataclass

from whence.students.data.collect import ask_teacher, build_training_set, refuse_one_label
from whence.students.data.model_selection import Choice, Trial, choose_ngram_weight
from whence.students.data.run import Usage
from whence.students.data.training_set import AnsweredTexts
from whence.students.features.word_groups import WordGroups
from whence.students.stages.plan import Plan
from whence.students.teacher.teacher import Answers

__all__ = ["Training", "collect_training"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Training:
    """What students learn from.

    Attributes:
        plan: first stage.
        answers: answers of the teacher to the texts of the plan.
        trial: training set of texts, edits and n-grams with its features so far, and how the
            student that judges them does on ``select``.
        groups: groups of words that the answers to n-grams show; ``None`` without n-grams.
        choices: weights of n-grams that were tried.
        usage: questions of this stage.
    """

    plan: Plan
    answers: Answers
    trial: Trial
    groups: WordGroups | None
    choices: tuple[Choice, ...]
    usage: Usage

    @property
    def select(self) -> AnsweredTexts:
        """The texts of ``select``, with the teacher's answers."""
        return select_part(self.plan, self.answers)


def select_part(plan: Plan, answers: Answers) -> AnsweredTexts:
    """The texts of ``select``, with the teacher's answers."""
    rows: list[int] = plan.split.select.tolist()
    groups: list[int] = plan.split.groups[plan.split.select].tolist()
    texts = [plan.texts[row] for row in rows]
    return AnsweredTexts("text", texts, answers.part(plan.split.select), groups)


def collect_training(plan: Plan) -> Training:
    """Ask the teacher all that is learnt from, and choose how much bare n-grams weigh.

    Cost: one pass of the teacher for each text, edit and n-gram that its cache lacks; three fits of
    a linear student.

    Raises:
        InputError: the teacher gives all texts the same label.
        ModelOutputError: the teacher failed; its answers so far stay in its cache.
    """
    run = plan.run
    before = run.used()
    answers = ask_teacher(run, plan.texts)
    refuse_one_label(answers)
    training, groups = build_training_set(run, plan.texts, answers, plan.split, plan.queries)
    trial, choices = choose_ngram_weight(training, select_part(plan, answers), plan.spec)
    return Training(
        plan=plan,
        answers=answers,
        trial=trial,
        groups=groups,
        choices=tuple(choices),
        usage=run.used(before),
    )
