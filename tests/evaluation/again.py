"""What the robustness tests share: a model, its instance, an explanation and how to make it again."""

from __future__ import annotations

from tests.asking import explain

import whence
from whence.evaluation.instance import instance_of
from whence.games.question import ask

TEXT = "She did not miss a single payment in the last year."


def asked(pair, text=TEXT, *, method="leave-one-out", size=32, masker="auto", **settings):
    """(model, instance, explanation, explain again); the output stays what it was on ``text``."""
    model = pair if not isinstance(pair, tuple) else whence.load(pair)
    question = ask(model, text, masker=masker)
    instance = instance_of(question, size=size)
    targets = tuple(output.target for output in question.readout.outputs)
    link = question.readout.outputs[0].link

    def again(source, seed, **more):
        options = {"masker": masker, **settings, **more}
        return explain(
            model, source, method=method, seed=seed, target=targets, link=link, **options
        )

    return model, instance, again(text, 0), again
