"""A small transformer taught on small worlds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.orders import LABELS, TINY, WHITE, ordered, same, weights_of
from tests.zoo import families

import whence
from whence.core.errors import InputError, ModelOutputError, OptionError, TextTooLongError
from whence.models.compact.architecture import learnt_tokenizer, seeded
from whence.models.compact.fit import probabilities, shrink
from whence.models.compact.sizes import Sizes


def test_word_order_is_learnt_which_no_bag_of_words_can():
    texts, targets = ordered(400)
    new, aims = ordered(200, seed=1)
    bags = {
        tuple(sorted(text.split())) for text, row in zip(new, aims, strict=True) if row[1] > 0.5
    }
    both = [
        tuple(sorted(t.split())) in bags for t, row in zip(new, aims, strict=True) if row[0] > 0.5
    ]
    assert sum(both) > 40
    sizes = Sizes(
        layers=1, hidden=32, heads=2, epochs=12, patience=12, vocabulary=300, tokens=16,
        batch=16, rate=5e-3, temperature=2.0, dropout=0.0,
    )  # fmt: skip
    found = shrink(texts, targets, labels=LABELS, sizes=sizes)
    reached = probabilities(found.model, new)
    assert (reached.argmax(axis=1) == aims.argmax(axis=1)).mean() > 0.9
    assert found.epochs[found.best].select == min(epoch.select for epoch in found.epochs)
    assert found.epochs[found.best].select < 0.2


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    texts, targets = ordered(48)
    one = shrink(texts, targets, labels=LABELS, sizes=TINY)
    torch.rand(7)
    two = shrink(texts, targets, labels=LABELS, sizes=TINY)
    other = shrink(texts, targets, labels=LABELS, sizes=replace(TINY, seed=1))
    assert same(weights_of(one.model), weights_of(two.model))
    assert one.epochs == two.epochs
    assert not same(weights_of(one.model), weights_of(other.model))


def test_global_random_states_are_untouched():
    teacher = whence.load(families.bert().pair)
    texts, targets = ordered(40)
    torch.manual_seed(3)
    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    shrink(texts, targets, labels=LABELS, sizes=TINY)
    aims = probabilities(teacher, texts)
    shrink(texts, aims, labels=teacher.labels, sizes=WHITE, teacher=teacher)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def test_a_seeded_context_gives_the_global_state_back_after_an_exception():
    before = torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(5):
        drawn = torch.rand(3)
        raise ZeroDivisionError
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_training_stops_when_nothing_is_gained_and_keeps_the_best():
    texts, _ = ordered(40)
    rng = np.random.default_rng(0)
    noise = rng.dirichlet([0.1, 0.1], size=40)
    sizes = replace(TINY, epochs=40, patience=2, rate=1e-2, dropout=0.0)
    found = shrink(texts, noise, labels=LABELS, sizes=sizes, select=(texts[:20], noise[20:]))
    assert len(found.epochs) == found.best + 3 < 40
    losses = [epoch.select for epoch in found.epochs]
    assert losses.index(min(losses)) == found.best


def test_weights_of_zero_leave_texts_out():
    texts, targets = ordered(40)
    held = ordered(10, seed=2)
    share = np.where(np.arange(40) < 30, 1.0, 0.0)
    wrong = targets.copy()
    wrong[30:] = wrong[30:, ::-1]
    one, two = (
        shrink(texts, aims, labels=LABELS, sizes=TINY, select=held, weights=share)
        for aims in (targets, wrong)
    )
    assert same(weights_of(one.model), weights_of(two.model))


def test_a_learnt_tokenizer_spells_every_text():
    tokenizer = learnt_tokenizer(["some words"], size=300, longest=64)
    for text in ("Some Words", "ünïcode 银行 👍🏽", "tab\tand\nline"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert tokenizer.decode(ids[1:-1]).strip() == text.lower()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("layers", 0), ("heads", 0), ("heads", 3), ("hidden", 0), ("epochs", 0), ("patience", 0),
        ("temperature", 0.0), ("temperature", float("nan")), ("rate", -1.0), ("batch", 0),
        ("hidden_weight", -0.5), ("attention_weight", float("inf")), ("dropout", 1.0),
        ("vocabulary", 100), ("tokens", 4),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(option, value):
    texts, targets = ordered(24)
    with pytest.raises(OptionError, match=option):
        shrink(texts, targets, labels=LABELS, sizes=replace(TINY, **{option: value}))


def test_texts_that_cannot_be_learnt_from_are_refused():
    texts, targets = ordered(24)
    with pytest.raises(InputError, match="at least 20"):
        shrink(texts[:19], targets[:19], labels=LABELS, sizes=TINY)
    with pytest.raises(InputError, match="select by"):
        shrink(texts, targets, labels=LABELS, sizes=TINY, select=([], np.zeros((0, 2))))
    with pytest.raises(TextTooLongError, match="32") as error:
        shrink([*texts[:-1], "good " * 60], targets, labels=LABELS, sizes=TINY)
    assert error.value.limit == 32


def test_a_rate_that_makes_the_loss_infinite_is_named():
    texts, targets = ordered(40)
    with pytest.raises(ModelOutputError, match="lower rate than 1e\\+30"):
        shrink(texts, targets, labels=LABELS, sizes=replace(TINY, rate=1e30, epochs=8))
