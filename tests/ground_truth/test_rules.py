from __future__ import annotations

import numpy as np
import pytest

from ground_truth import RULES, RuleModel


@pytest.mark.parametrize("name", RULES)
def test_only_the_words_named_decide(name):
    """Without a word that decides the score turns round; without any other it keeps its sign."""
    model = RuleModel(kind=name.removeprefix("rule-"))
    for item in RULES[name].items(40, seed=3):
        words = list(item.words)
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        truth = {span.start for span in item.truth}
        without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
        whole, answers = model([item.text])[0, 1], model(without)[:, 1]
        moved = np.abs(answers - whole) > 1.0
        decides = np.array([start in truth for start in starts])
        assert (moved == decides).all()
