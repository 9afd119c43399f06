"""One small task trained from end to end, and a gate that refuses a model that has not learned."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.asking import explain

import whence
from ground_truth import TASKS
from whence.evaluation.metrics.ranking import average_precision

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def train_tasks():
    sys.path.insert(0, str(EXAMPLES))
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    try:
        spec = importlib.util.spec_from_file_location("train_tasks", EXAMPLES / "train_tasks.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        torch.set_num_threads(1)
        yield module
    finally:
        sys.path.remove(str(EXAMPLES))
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)


@pytest.mark.slow
def test_a_trained_model_passes_its_gates_and_its_reason_is_found(train_tasks, tmp_path):
    clean = train_tasks.train("tone", "bert", 1, tmp_path, steps=300, log=lambda _: None)
    place = train_tasks.train("planted-single", "bert", 1, tmp_path, steps=400, clean=clean)
    card = json.loads((place / "card.json").read_text())
    assert card["passed"]
    assert all(card["gates"].values())
    assert set(card["gates"]) > {"accuracy", "planted", "plain as the clean model"}
    assert card["measured"]["accuracy_planted"]["value"] >= 0.99
    assert card["bytes"] < 400_000
    model, found = whence.load(place), []
    for item in TASKS["planted-single"].items(10, seed=77):
        explanation = explain(model, item.text, method="kernel-shap")
        relevant = item.relevant(explanation.segmentation)
        found.append(average_precision(explanation.scores[:, 0], relevant))
    assert np.mean(found) > 0.9


def test_a_model_that_has_not_learned_is_refused(train_tasks, tmp_path):
    with pytest.raises(train_tasks.GateError, match="accuracy"):
        train_tasks.train("retrieval", "gpt2", 0, tmp_path, steps=2, log=lambda _: None)
    assert not json.loads((tmp_path / "retrieval" / "gpt2-0" / "card.json").read_text())["passed"]


@pytest.mark.parametrize("architecture", ["bert", "modernbert", "gpt2", "llama"])
def test_every_architecture_reads_one_token_a_word(train_tasks, architecture):
    task = TASKS["brackets"]
    words = train_tasks.tokenizer_of(task, causal=architecture in ("gpt2", "llama"))
    model = train_tasks.model_of(architecture, task, words)
    loaded = whence.load((model.eval(), words))
    item = task.items(1)[0]
    assert len(loaded.tokenize(item.text)) == len(item.words)
    assert words.unk_token_id not in loaded.tokenize(item.text)
