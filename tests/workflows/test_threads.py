"""Many threads on one model: the answers of one thread, whatever the others hook or change."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.zoo.families import FAMILIES

import whence

TEXTS = (
    "He denies chest pain .",
    "She reports a mild cough .",
    "No fever since Monday .",
    "He reports a fever .",
)
METHODS = (
    "kernel-shap",
    "leave-one-out",
    "lime",
    "shapley-values",
    "integrated-gradients",
    "input-x-gradient",
    "value-zeroing",
    "gradient-weighted-attention",
    "rollout",
    "attention-knockout",
)


def _explanation(method):
    def run(model, text):
        found = whence.explain(model, text, method=method, trust="off")
        return found.scores.tobytes() + found.values.tobytes()

    return run


def _audit(model, text):
    """Draws the parameters at random, rounds them, and repeats the method meanwhile."""
    label = whence.explain(model, text, method="leave-one-out", trust="audit").trust
    return [(q.finding, q.says) for q in label.quantities]


def _attention(model, text):
    record = whence.attend(model, text)
    return [(head.layer, head.head, head.gradient, head.effect) for head in record.record.heads]


def _patching(model, text):
    found = whence.patch(model, text, " ".join(reversed(text.split())), target=0)
    return found.scores.tobytes()


JOBS = {
    **{method: _explanation(method) for method in METHODS},
    "audit": _audit,
    "attend": _attention,
    "patch": _patching,
}


def _alike(jobs, count, threads, handles):
    """The jobs whose answer in ``threads`` threads is not that of one thread."""
    rows = [(jobs[i % len(jobs)], TEXTS[i // len(jobs) % len(TEXTS)]) for i in range(count)]
    serial = {row: JOBS[row[0]](handles[0], row[1]) for row in dict.fromkeys(rows)}

    def run(place):
        name, text = rows[place]
        return JOBS[name](handles[place % len(handles)], text) == serial[name, text]

    with ThreadPoolExecutor(threads) as pool:
        return [
            row for row, same in zip(rows, pool.map(run, range(count)), strict=True) if not same
        ]


@pytest.fixture
def often():
    """Threads that change places every few instructions meet one another's half-done work."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def _handles(name="bert"):
    tiny = copy.deepcopy(FAMILIES[name]().pair)
    # Two handles on one module: what one hooks or draws at random, the other reads.
    return [whence.load(tiny), whence.load(tiny)]


def test_threads_on_one_model_give_the_answers_of_one(often):
    names = [
        "audit",
        *("leave-one-out", "value-zeroing", "attend", "integrated-gradients", "patch", "rollout")
        * 3,
    ]
    assert _alike(names, len(names), 4, _handles()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_five_hundred_jobs_in_32_threads(name, often):
    jobs = list(METHODS) if name == "gpt2" else list(JOBS)
    assert _alike(jobs, 500, 32, _handles(name)) == []


def test_a_model_in_training_mode_is_read_in_evaluation_mode_and_put_back(often):
    module, tokenizer = copy.deepcopy(FAMILIES["bert"]().pair)
    model = whence.load((module, tokenizer))
    expected = _explanation("leave-one-out")(model, TEXTS[0])
    module.train()
    frozen = module.bert.encoder.layer[0].eval()
    modes = [child.training for child in module.modules()]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _explanation("leave-one-out")(model, TEXTS[0]), range(8)))
    assert found == [expected] * 8
    assert [child.training for child in module.modules()] == modes
    assert not frozen.training
