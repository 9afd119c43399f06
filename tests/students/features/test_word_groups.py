import numpy as np
import pytest

from whence.core.errors import InputError, OptionError
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.tokenizer import words
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.features.word_groups import SHOWN, WordGroup, ppmi, word_groups
from whence.students.teacher.teacher import Answers

LABELS = ("accept", "reject")

# Hidden groups: synonyms, what stands around them, and the weight for "reject" they all have.
GROUPS = {
    "delay": (["late", "overdue", "missed", "behind", "tardy"], "when", 2.0),
    "crime": (["fraud", "forged", "theft", "scam"], "who", 2.0),
    "praise": (["steady", "reliable", "prompt", "sound"], "when", -2.0),
}
AROUND = {side: [f"{side}{i}" for i in range(12)] for side in ("when", "who", "else")}


def corpus(count=600, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        members, side, _ = list(GROUPS.values())[int(rng.integers(3))]
        around = rng.choice(AROUND[side], 4).tolist()
        text = [*around[:2], str(rng.choice(members)), *around[2:]]
        found.append(" ".join([*text, *rng.choice(AROUND["else"], 8).tolist()]))
    return found


def answered(asked, seed=0, noise=0.2, soft=True):
    rng = np.random.default_rng(seed)
    weight = {word: w for members, _, w in GROUPS.values() for word in members}
    z = np.array([weight.get(word, 0.0) for word in asked]) + rng.normal(0, noise, len(asked))
    values = np.stack([-z / 2, z / 2], 1)
    if not soft:
        # Bare labels: what is neither rejected nor praised is accepted.
        values = np.eye(2)[(z > 1).astype(int)]
    return Answers(
        labels=LABELS, gives="logit" if soft else "label", values=values,
        read_to=np.array([len(word) for word in asked]),
    )  # fmt: skip


def vocabulary(texts):
    return sorted({word for text in texts for word in words(text)})


class TestPlanted:
    @pytest.mark.parametrize("seed", range(3))
    def test_groups_of_synonyms_are_recovered(self, seed):
        texts = corpus(seed=seed)
        asked = vocabulary(texts)
        found = word_groups(asked, answered(asked, seed), texts)
        recovered = {frozenset(concept.words) for concept in found.groups}
        assert recovered == {frozenset(members) for members, _, _ in GROUPS.values()}
        assert found.alone == ()
        assert found.neutral == len(asked) - 13
        for concept in found.groups:
            assert concept.name == "/".join(concept.words[:3])
            assert concept.effect == pytest.approx(1.0, abs=0.3)
        assert {c.label for c in found.groups if "late" in c.words} == {"reject"}
        assert {c.label for c in found.groups if "steady" in c.words} == {"accept"}

    def test_response_alone_cannot_part_what_company_parts(self):
        """Delay and crime have one effect; delay and praise have one company."""
        texts = corpus()
        asked = vocabulary(texts)
        answers = answered(asked, noise=0.05)
        by_response = word_groups(asked, answers, texts, company=0.0)
        together = next(c for c in by_response.groups if "late" in c.words)
        assert "fraud" in together.words
        assert "steady" not in together.words
        by_company = word_groups(asked, answers, texts, company=1.0)
        together = next(c for c in by_company.groups if "late" in c.words)
        assert "steady" in together.words
        assert "fraud" not in together.words

    def test_lexicons_make_a_shorter_student(self):
        texts = corpus()
        asked = vocabulary(texts)
        lexicons = word_groups(asked, answered(asked), texts).lexicons
        spec = ReadableFeatures(longest=1, lexicons=lexicons)
        features = spec.learn(texts)
        weight = {word: w for members, _, w in GROUPS.values() for word in members}
        z = np.array([sum(weight.get(word, 0) for word in text.split()) for text in texts])
        p = 1 / (1 + np.exp(-z.astype(float)))
        student = SparseLinear(features=3).fit(
            features.table(texts), np.stack([1 - p, p], 1), features=features, labels=LABELS
        )
        assert {f.kind for f in student.features.kept} == {"lexicon"}
        assert np.abs(student.predict_proba(texts)[:, 1] - p).max() < 0.05

    def test_the_same_again(self):
        texts = corpus()
        asked = vocabulary(texts)
        first = word_groups(asked, answered(asked), texts, seed=1)
        assert first == word_groups(asked, answered(asked), texts, seed=1)
        turned = np.arange(len(asked))[::-1]
        other = word_groups([asked[i] for i in turned], answered(asked).part(turned), texts, seed=1)
        assert {frozenset(c.words) for c in other.groups} == {
            frozenset(c.words) for c in first.groups
        }


class TestWhatIsTaken:
    def test_capitals_do_not_count(self):
        """N-grams come as the texts write them; two spellings are one word."""
        texts = [text.replace("late", "Late").replace("fraud", "FRAUD") for text in corpus()]
        asked = vocabulary(texts)
        written = ["Late" if w == "late" else "FRAUD" if w == "fraud" else w for w in asked]
        expected = word_groups(asked, answered(asked), texts)
        assert word_groups(written, answered(asked), texts) == expected
        assert any("late" in group.words for group in expected.groups)
        twice = word_groups([*written, "late"], answered([*asked, "late"]), texts)
        assert twice.passed_over == 1
        assert sum(concept.words.count("late") for concept in twice.groups) == 1

    def test_only_single_words_of_the_texts(self):
        asked = ["late", "paid late", "never seen", "unseen", "overdue", "he", "was", "again"]
        values = np.array([[-1.0, 1.0]] * 5 + [[0.0, 0.0]] * 3 + [])
        answers = Answers(labels=LABELS, gives="logit", values=values, read_to=np.full(8, 5))
        found = word_groups(asked, answers, ["he was late again", "he was overdue again"])
        assert found.passed_over == 3

    def test_bare_labels(self):
        texts = corpus()
        asked = vocabulary(texts)
        found = word_groups(asked, answered(asked, soft=False), texts)
        members = {frozenset(c.words) for c in found.groups}
        assert members == {frozenset(GROUPS[name][0]) for name in ("delay", "crime")}

    def test_a_teacher_that_never_moves_has_no_concept(self):
        texts = corpus(60)
        asked = vocabulary(texts)
        answers = Answers(
            labels=LABELS, gives="logit", values=np.zeros((len(asked), 2)),
            read_to=np.full(len(asked), 4),
        )  # fmt: skip
        found = word_groups(asked, answers, texts)
        assert (found.groups, found.alone, found.neutral) == ((), (), len(asked))
        assert found.lexicons == {}

    def test_most_keeps_the_most_telling(self):
        texts = corpus()
        asked = vocabulary(texts)
        found = word_groups(asked, answered(asked), texts, most=5)
        assert sum(len(c.words) for c in found.groups) + len(found.alone) == 5

    def test_long_lists_are_shown_in_part_and_kept_whole(self):
        many = tuple(f"w{i}" for i in range(20))
        concept = WordGroup("w0/w1/w2", many, "reject", 1.0)
        shown = concept.describe()
        assert shown.endswith("w14 and 5 more")
        assert shown.count("w") == 3 + SHOWN
        assert len(concept.words) == 20

    def test_refusals(self):
        with pytest.raises(InputError, match="2 n-grams"):
            word_groups(["a", "b"], answered(["a"]), ["a b"])
        with pytest.raises(OptionError):
            word_groups(["a"], answered(["a"]), ["a b"], company=2.0)


def test_ppmi_by_hand():
    from scipy import sparse

    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (6, 5)).astype(float) + np.eye(6, 5)
    p = x / x.sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log(p / (p.sum(1, keepdims=True) * p.sum(0))), 0)
    assert np.allclose(ppmi(sparse.csr_array(x)).toarray(), expected)
