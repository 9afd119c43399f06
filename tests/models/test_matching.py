"""A teacher's layers matched: what is held against what, and that the teacher stays as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.orders import LABELS, TINY, WHITE, ordered, same, weights_of
from tests.zoo import families

import whence
from whence.core.errors import CapabilityError, ModelOutputError, OptionError
from whence.models.compact.architecture import reduced, seeded
from whence.models.compact.fit import probabilities, shrink
from whence.models.compact.teacher_states import TeacherViews
from whence.models.compact.training import Batch, Losses
from whence.models.protocols import Row


@pytest.fixture
def teacher():
    return whence.load(families.bert().pair)


def test_a_teacher_whose_layers_are_matched_is_left_as_it_was_found(teacher):
    texts, _ = ordered(40)
    teacher.module.classifier.train()
    kept, modes = weights_of(teacher), [child.training for child in teacher.module.modules()]
    aims = probabilities(teacher, texts)
    found = shrink(texts, aims, labels=teacher.labels, sizes=WHITE, teacher=teacher)
    assert len(found.epochs) == 2
    assert same(weights_of(teacher), kept)
    assert [child.training for child in teacher.module.modules()] == modes
    assert all(parameter.grad is None for parameter in teacher.module.parameters())
    assert not any(child._forward_hooks for child in teacher.module.modules())
    teacher.module.classifier.eval()


def test_a_teacher_that_fails_is_left_as_it_was_found(teacher):
    texts, _ = ordered(40)
    teacher.module.classifier.train()
    kept, modes = weights_of(teacher), [child.training for child in teacher.module.modules()]
    before = torch.random.get_rng_state()
    aims = probabilities(teacher, texts)
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError

    handle = teacher.module.bert.encoder.layer[1].register_forward_pre_hook(fail)
    try:
        with pytest.raises(ModelOutputError, match="ZeroDivisionError"):
            shrink(texts, aims, labels=teacher.labels, sizes=WHITE, teacher=teacher)
    finally:
        handle.remove()
    assert len(calls) == 3
    assert same(weights_of(teacher), kept)
    assert [child.training for child in teacher.module.modules()] == modes
    assert not any(child._forward_hooks for child in teacher.module.modules())
    assert torch.equal(torch.random.get_rng_state(), before)
    teacher.module.classifier.eval()


def _losses(teacher, sizes, count=6):
    texts, _ = ordered(count)
    aims = probabilities(teacher, texts)
    student = shrink(
        texts * 4, np.tile(aims, (4, 1)), labels=teacher.labels, sizes=sizes, teacher=teacher
    ).model
    student.module.set_attn_implementation("eager")
    encodings = [teacher.encode(text) for text in texts]
    rows = [Row(ids=e.ids, token_types=e.token_types) for e in encodings]
    batch = Batch(rows, student.batch(rows), torch.from_numpy(aims).float(), torch.ones(count))
    with seeded(0):
        losses = Losses.of(student, [batch], sizes, teacher)
    return student, losses, batch


def test_gradients_flow_into_the_student_and_the_projections_alone(teacher):
    student, losses, batch = _losses(teacher, WHITE)
    losses(0, batch).backward()
    assert all(parameter.grad is None for parameter in teacher.module.parameters())
    assert all(parameter.grad is not None for parameter in student.module.parameters())
    assert len(losses.projections) == 2
    assert all(float(p.grad.abs().max()) > 0 for p in losses.projections.parameters())


def test_the_loss_is_the_sum_of_its_weighted_parts(teacher):
    student, both, batch = _losses(teacher, WHITE)
    student.module.eval()

    def of(hidden, attention):
        sizes = replace(WHITE, hidden_weight=hidden, attention_weight=attention)
        losses = Losses(both.module, sizes, both.views, both.projections)
        return float(losses(0, batch).detach())

    soft, hidden, attention = of(0.0, 0.0), of(1.0, 0.0), of(0.0, 1.0)
    assert soft > 0
    assert hidden > soft
    assert attention > soft
    assert of(2.0, 0.0) == pytest.approx(2 * hidden - soft, rel=1e-5)
    assert of(3.0, 0.5) == pytest.approx(
        soft + 3 * (hidden - soft) + 0.5 * (attention - soft), rel=1e-5
    )


def test_what_is_matched_is_the_teachers_own_states_and_mean_attention(teacher):
    texts, _ = ordered(5)
    encodings = [teacher.encode(text) for text in texts]
    rows = [Row(ids=e.ids, token_types=e.token_types) for e in encodings]
    view = TeacherViews(teacher, layers=1, attention=True).of(0, rows)
    eager = families.bert().module
    eager.load_state_dict(teacher.module.state_dict())
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        own = eager(**teacher.batch(rows), output_hidden_states=True, output_attentions=True)
    read = teacher.batch(rows)["attention_mask"].bool()
    torch.testing.assert_close(view.states[0][read], own.hidden_states[2][read])
    torch.testing.assert_close(view.attention[0][read], own.attentions[1].mean(dim=1)[read])
    torch.testing.assert_close(view.attention[0][read].sum(-1), torch.ones(int(read.sum())))


def test_views_are_kept_while_there_is_room_and_else_asked_again(teacher):
    texts, _ = ordered(6)
    encodings = [teacher.encode(text) for text in texts]
    rows = [Row(ids=e.ids, token_types=e.token_types) for e in encodings]
    calls = []
    handle = teacher.module.bert.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        roomy = TeacherViews(teacher, layers=2, attention=True)
        one, again = roomy.of(0, rows), roomy.of(0, rows)
        assert len(calls) == 1
        tight = TeacherViews(teacher, layers=2, attention=True, kept_bytes=one.bytes)
        tight.of(0, rows[:3])
        other = tight.of(1, rows)
        tight.of(0, rows[:3])
        assert len(calls) == 3
        other = tight.of(1, rows)
        assert len(calls) == 4
    finally:
        handle.remove()
    assert again is one
    assert all(torch.equal(a, b) for a, b in zip(one.states, other.states, strict=True))


def test_matching_brings_the_students_states_nearer_to_the_teachers(teacher):
    texts, _ = ordered(64)
    aims = probabilities(teacher, texts)
    sizes = replace(WHITE, hidden=32, epochs=12, patience=12, rate=5e-3, dropout=0.0)
    found = shrink(texts, aims, labels=teacher.labels, sizes=sizes, teacher=teacher)
    assert found.epochs[-1].fit < 0.6 * found.epochs[0].fit
    assert found.model._tokenizer.get_vocab() == teacher._tokenizer.get_vocab()


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert"])
def test_other_encoders_are_matched_too(family):
    teacher = whence.load(getattr(families, family)().pair)
    texts, _ = ordered(24)
    aims = probabilities(teacher, texts)
    sizes = replace(WHITE, epochs=1)
    found = shrink(texts, aims, labels=teacher.labels, sizes=sizes, teacher=teacher)
    assert found.model.labels == teacher.labels
    assert np.isfinite(found.epochs[0].fit)


def test_layers_that_keep_their_softmax_are_matched_by_their_states_alone():
    teacher = whence.load(families.deberta().pair)
    texts, _ = ordered(24)
    aims = probabilities(teacher, texts)
    with pytest.raises(CapabilityError, match=r"attention_weight=0\.0"):
        shrink(texts, aims, labels=teacher.labels, sizes=WHITE, teacher=teacher)
    sizes = replace(WHITE, attention_weight=0.0, epochs=1)
    found = shrink(texts, aims, labels=teacher.labels, sizes=sizes, teacher=teacher)
    assert len(found.epochs) == 1


def test_a_student_deeper_than_its_teacher_cannot_copy_layers(teacher):
    texts, _ = ordered(24)
    aims = probabilities(teacher, texts)
    with pytest.raises(CapabilityError, match="layers=2 at most"):
        shrink(texts, aims, labels=teacher.labels, sizes=replace(WHITE, layers=3), teacher=teacher)


def test_embeddings_are_reduced_to_the_coordinates_that_vary_most():
    rng = np.random.default_rng(0)
    table = torch.from_numpy(rng.normal(size=(50, 6)) * [9, 1, 8, 0.1, 0.1, 0.1])
    found = reduced(table, 2).double()
    centred = table - table.mean(dim=0)
    left = torch.linalg.svd(centred, full_matrices=False)[0][:, :2]
    # The same plane, whatever its axes are called.
    assert float((found - left @ (left.T @ found)).abs().max()) < 1e-6
    assert float(found.std()) == pytest.approx(0.02, rel=1e-5)


def test_a_teacher_is_due_where_layers_are_matched_and_only_there(teacher):
    texts, targets = ordered(24)
    with pytest.raises(OptionError, match=r"give teacher=\.\.\."):
        shrink(texts, targets, labels=LABELS, sizes=WHITE)
    with pytest.raises(OptionError, match="leave the teacher out"):
        shrink(texts, targets, labels=LABELS, sizes=TINY, teacher=teacher)


def test_a_callable_and_an_encoder_with_decoder_have_no_layers_to_match():
    texts, targets = ordered(24)
    function = whence.load(lambda batch: [[0.1, 0.9] for _ in batch], labels=LABELS)
    with pytest.raises(CapabilityError, match="answers alone"):
        shrink(texts, targets, labels=LABELS, sizes=WHITE, teacher=function)
    twice = whence.load(families.t5().pair)
    with pytest.raises(CapabilityError, match="answers alone"):
        shrink(texts, targets, labels=LABELS, sizes=WHITE, teacher=twice)


def test_a_student_reads_no_further_than_the_teacher_it_copies(teacher):
    texts, _ = ordered(24)
    aims = probabilities(teacher, texts)
    sizes = replace(WHITE, epochs=1, tokens=500)
    found = shrink(texts, aims, labels=teacher.labels, sizes=sizes, teacher=teacher)
    assert found.model.vocabulary.limit == teacher.vocabulary.limit == 128
