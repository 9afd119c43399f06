import json

import numpy as np
import pytest
from tests.students import worlds

from whence.core.errors import InputError, OptionError
from whence.students.families.prototypes import FittedPrototypes, Prototypes
from whence.students.features.vectorizer import ReadableFeatures

LABELS = ("sport", "law", "food")
TOPICS = {label: [f"{label}{i}" for i in range(25)] for label in LABELS}


def topical(count, seed=0):
    """Texts of mostly one topic, which is the teacher's answer."""
    rng = np.random.default_rng(seed)
    texts, answers = [], []
    for _ in range(count):
        label = LABELS[int(rng.integers(3))]
        words = [*rng.choice(TOPICS[label], 8), *rng.choice(worlds.FILLER, 6)]
        rng.shuffle(words)
        texts.append(" ".join(words))
        answers.append(label)
    return texts, answers


def learnt(texts, targets, labels=LABELS, weights=None, **options):
    features = ReadableFeatures(longest=1).learn(texts)
    return Prototypes(**options).fit(
        features.table(texts), np.asarray(targets), features=features, labels=labels,
        weights=weights, texts=texts,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    texts, answers = topical(400)
    return learnt(texts, worlds.one_hot(answers, LABELS), cases=12)


def test_topics_are_told_apart_by_a_few_shown_texts(fitted):
    texts, answers = topical(300, seed=5)
    said = fitted.predict(texts)
    assert np.mean([a == b for a, b in zip(said, answers, strict=True)]) > 0.95
    known, _ = topical(400)
    assert 3 <= len(fitted.cases) <= 12
    assert {case.text for case in fitted.cases} <= set(known)
    assert {LABELS[int(case.chances.argmax())] for case in fitted.cases} == set(LABELS)


def test_nearest_is_the_greatest_cosine_over_all_features():
    """Against a plain computation with every feature, the text's length included."""
    texts, answers = topical(120)
    fitted = learnt(texts, worlds.one_hot(answers, LABELS), cases=6)
    features = ReadableFeatures(longest=1).learn(texts)
    table = features.table(texts).toarray()
    weighted = table * (np.log(120 / table.sum(axis=0)) + 1)
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    rows = [texts.index(case.text) for case in fitted.cases]
    cosine = unit @ unit[rows].T
    near = fitted.nearest(fitted.features.table(texts))
    assert cosine[np.arange(120), near] == pytest.approx(cosine.max(axis=1), abs=1e-6)
    for place, case in enumerate(fitted.cases):
        inside = near == place
        assert case.texts == inside.sum() > 0
        wanted = worlds.one_hot(answers, LABELS)[inside].mean(axis=0)
        assert case.chances == pytest.approx(wanted)


def test_each_prototype_raises_the_objective_most():
    texts, answers = topical(60)
    features = ReadableFeatures(longest=1).learn(texts)
    table = features.table(texts).toarray()
    weighted = table * (np.log(60 / table.sum(axis=0)) + 1)
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    cosine, tops = unit @ unit.T, np.array([LABELS.index(a) for a in answers])

    def objective(rows):
        total = 0.0
        for label in range(3):
            own = [row for row in rows if tops[row] == label]
            best = cosine[:, own].max(axis=1) if own else np.zeros(60)
            total += best[tops == label].mean() - best[tops != label].mean()
        return total

    fitted = learnt(texts, worlds.one_hot(answers, LABELS), cases=5)
    chosen = [texts.index(case.text) for case in fitted.cases]
    assert len(chosen) == 5
    for step in range(5):
        reached = objective(chosen[: step + 1])
        every = max(objective([*chosen[:step], row]) for row in range(60))
        assert reached == pytest.approx(every, abs=1e-5)
        assert reached > objective(chosen[:step])


def test_reasons_add_up_and_name_what_is_shared(fitted):
    for text in topical(20, seed=9)[0]:
        reasons = fitted.explain(text)
        assert reasons.total == pytest.approx(fitted.predict_proba([text])[0])
        assert reasons.label == fitted.predict([text])[0]
        (piece,) = reasons.evidence
        case = fitted.cases[int(piece.says.split("case ")[1].split(",")[0]) - 1]
        assert piece.spans
        for start, end in piece.spans:
            assert f"'{text[start:end]}'" in piece.says
            assert text[start:end] in case.text.split()


def test_a_text_like_no_case_gets_the_mean(fitted):
    reasons = fitted.explain("zebra quartz")
    assert reasons.evidence == ()
    assert reasons.total == pytest.approx(fitted.base)
    assert fitted.predict_proba(["zebra"])[0].sum() == pytest.approx(1.0)


def test_written_and_read_back_decides_the_same(fitted):
    again = FittedPrototypes.from_json(json.loads(json.dumps(fitted.to_json())))
    texts, _ = topical(50, seed=3)
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
    assert again.to_text() == fitted.to_text()


def test_everything_shown_is_in_the_cost(fitted):
    words = sum(len(case.text.split()) for case in fitted.cases)
    assert fitted.reading_cost.words == words
    assert fitted.reading_cost.numbers == 2 * (len(fitted.cases) + 1) + len(fitted.features)
    shown = fitted.to_text()
    assert all(case.text in shown for case in fitted.cases)


def test_weights_are_repeats():
    texts, answers = topical(150)
    targets = worlds.one_hot(answers, LABELS)
    twice = np.where(np.arange(150) % 3 == 0, 2.0, 1.0)
    rows = np.repeat(np.arange(150), twice.astype(int))
    features = ReadableFeatures(longest=1).learn(texts)
    table = features.table(texts)
    data = {"features": features, "labels": LABELS}
    one = Prototypes(cases=8).fit(table, targets, weights=twice, texts=texts, **data)
    two = Prototypes(cases=8).fit(
        table[rows], targets[rows], texts=[texts[row] for row in rows], **data
    )
    assert [case.text for case in one.cases] == [case.text for case in two.cases]
    for a, b in zip(one.cases, two.cases, strict=True):
        assert a.chances == pytest.approx(b.chances)


def test_drawn_candidates_are_the_only_ones():
    texts, answers = topical(300)
    targets = worlds.one_hot(answers, LABELS)
    some = learnt(texts, targets, cases=10, candidates=20)
    assert 0 < len(some.cases) <= 10
    assert learnt(texts, targets, cases=10, candidates=20).to_json() == some.to_json()
    other = learnt(texts, targets, cases=10, candidates=20, seed=1)
    assert other.to_json() != some.to_json()


def test_one_class_only():
    texts, _ = topical(40)
    fitted = learnt(texts, np.tile([1.0, 0.0, 0.0], (40, 1)))
    assert set(fitted.predict([*texts, "zebra"])) == {"sport"}


def test_refusals():
    texts, answers = topical(30)
    targets = worlds.one_hot(answers, LABELS)
    with pytest.raises(OptionError, match="cases=0"):
        learnt(texts, targets, cases=0)
    features = ReadableFeatures(longest=1).learn(texts)
    data = {"features": features, "labels": LABELS}
    with pytest.raises(InputError, match="expected the 30 texts of the rows in texts=, got none"):
        Prototypes().fit(features.table(texts), targets, **data)
    with pytest.raises(InputError, match="expected the 30 texts of the rows in texts=, got 3"):
        Prototypes().fit(features.table(texts), targets, texts=texts[:3], **data)
    with pytest.raises(InputError, match="probabilities"):
        learnt(texts, targets * 2)
