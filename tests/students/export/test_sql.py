import re
import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.students import stored, worlds

from whence.core.errors import CapabilityError, InputError, OptionError
from whence.students.export.sql import MOST, as_sql, spaced
from whence.students.families.decision_tree import FittedDecisionTree, Node
from whence.students.families.rule_list import FittedRuleList, Literal, Rule
from whence.students.families.scorecard import FittedScorecard
from whence.students.families.sparse_linear import FittedSparseLinear
from whence.students.features.tokenizer import words
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures
from whence.students.fitting.logistic import Linear

HARD = ["%", "_", "'", '"', "\\", "!", "!!", "[late]", "100 %", "o'hara", "é", "ß", "naïve\u0301",
        "late_", "a_b", "\\%", "%_'", "日本", "👍", "מאוחר", "--", ";", "LATE"]  # fmt: skip
CASES = [
    (k, n)
    for k in ("sparse-linear", "additive", "scorecard", "rule-list", "decision-tree")
    for n in (2, 3)
]
CASES.remove(("scorecard", 3))


def queried(query, texts, table="texts", key="id", text="tokens"):
    with sqlite3.connect(":memory:") as db:
        db.execute(f'CREATE TABLE "{table}" ("{key}" INTEGER PRIMARY KEY, "{text}" TEXT)')
        rows = [(place, spaced(t)) for place, t in enumerate(texts)]
        db.executemany(f'INSERT INTO "{table}" VALUES (?, ?)', rows)
        done = db.execute(query)
        names = [column[0] for column in done.description]
        found = sorted(done.fetchall())
    db.close()
    assert [row[0] for row in found] == list(range(len(texts)))
    return names, found


def same(student, texts, **options):
    names, found = queried(as_sql(student, **options), texts, **options)
    place = names.index("label")
    assert [row[place] for row in found] == student.predict(texts)
    assert names[place + 1 :] == [f"probability of {label}" for label in student.labels]
    chances = np.array([row[place + 1 :] for row in found])
    assert chances == pytest.approx(student.predict_proba(texts), rel=0, abs=1e-12)


def of_phrases(phrases, lexicons=None, longest=2):
    """A rule for each phrase, whose answer no other rule gives."""
    spec = ReadableFeatures(longest=longest, lexicons=lexicons or {})
    features = Features(spec, [Feature("ngram", p) for p in phrases])
    rules = [
        Rule((Literal(j, True),), np.array([1 - (j + 1) / 100, (j + 1) / 100]), 1.0)
        for j in range(len(phrases))
    ]
    return FittedRuleList(("no", "yes"), features, [*rules, Rule((), np.array([1.0, 0.0]), 1.0)])


@pytest.mark.parametrize(("kind", "labels"), CASES)
def test_the_query_answers_as_the_student(kind, labels):
    student = stored.fitted(kind, labels)
    texts = [*worlds.texts(300, seed=4), *stored.ODD, *HARD]
    same(student, texts)
    assert len(set(student.predict(texts))) > 1


def test_every_odd_word_is_found_and_nothing_else():
    phrases = sorted({word for text in [*HARD, *stored.ODD[:11]] for word in words(text)})
    phrases += ["100 %", "! !", "' late", "% _ '", "o'hara's 100 % \\"]
    texts = [*phrases, *HARD, *stored.ODD, "1000", "100%", "x y", "o hara", "lat", "ate", "latex"]
    student = of_phrases(phrases, longest=5)
    said = student.predict_proba(texts)
    assert len({row[1] for row in said.tolist()}) > 30
    same(student, texts)


@given(st.lists(st.sampled_from([*HARD, *worlds.SIGNALS, " ", ""]), max_size=12))
def test_of_any_words(pieces):
    student = of_phrases(["%", "_ _", "late", "late fraud", "\\", "' '", "!", "a_b", "é"])
    same(student, ["".join(pieces), " ".join(pieces)])


@given(st.text(max_size=30))
def test_a_spaced_text_holds_the_words_between_single_spaces(text):
    if "\x00" not in text:
        assert spaced(text).split(" ")[1:-1] == words(text)


def test_a_lexicon_is_any_of_its_words():
    lexicons = {"debt": ("Loan", "o'hara", "100%", "two words", "_"), "none": ("a b",)}
    spec = ReadableFeatures(longest=1, lexicons=lexicons)
    features = Features(spec, [Feature("lexicon", "debt"), Feature("lexicon", "none")])
    rules = [Rule((Literal(j, j == 0),), np.array([0.9 - j / 2, 0.1 + j / 2]), 1.0) for j in (0, 1)]
    student = FittedRuleList(("a", "b"), features, [*rules, Rule((), np.array([0.2, 0.8]), 1.0)])
    texts = ["loan", "LOAN", "O’Hara", "100%", "two words", "_", "a b", "", "loans"]
    assert set(student.predict(texts)) == {"a", "b"}
    same(student, texts)


def test_sums_between_below_and_above_those_seen():
    features = Features(ReadableFeatures(), [Feature("ngram", w) for w in ("a", "b", "c")])
    student = FittedScorecard(
        ("no", "yes"),
        features,
        np.array([-4, 3, 5]),
        np.array([-2, 0, 4]),
        np.array([0.2, 0.5, 0.9]),
    )
    texts = ["", "a", "b", "c", "a b", "a c", "b c", "a b c"]
    assert student.predict(["", "b"]) == ["no", "no"]
    same(student, texts)


def test_ties_go_to_the_first_label():
    features = Features(ReadableFeatures(), [Feature("ngram", w) for w in ("a", "b")])
    weights = np.array([[-0.1, 0.1], [0.1, -0.1]])
    student = FittedSparseLinear(
        ("no", "yes"), features, Linear(np.arange(2), weights, np.array([0.0, 0.0]))
    )
    assert student.predict(["", "a", "b", "a b"]) == ["no", "yes", "no", "no"]
    same(student, ["", "a", "b", "a b"])


def test_names_and_labels_are_quoted():
    student = of_phrases(["late"])
    student.labels = ("it's", 'say "no"; DROP TABLE texts; --')
    student.rules = tuple(Rule(r.literals, r.chances[::-1], r.texts) for r in student.rules)
    same(student, ["late", ""], table="order", key="the id", text='te"xt'.replace('"', " "))
    query = as_sql(student, table="my schema.texts", key='i"d')
    assert 'FROM "my schema"."texts"' in query
    assert '"i""d"' in query


def test_a_rule_list_of_no_rule_and_a_tree_of_one_leaf():
    same(of_phrases([]), ["late", ""])
    single = stored.fitted("decision-tree")
    alone = type(single)(single.labels, Features(stored.PLAIN, []), single.nodes[-1:])
    assert alone.nodes[0].column is None
    same(alone, ["late", ""])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_trees_of_any_shape(share):
    """Chains of "no" and of "yes", and a full tree, of 128 leaves each."""
    features = Features(ReadableFeatures(), [Feature("ngram", f"word{j}") for j in range(60)])
    rng = np.random.default_rng(0)
    nodes = []

    def grow(count):
        place = len(nodes)
        nodes.append(Node(rng.dirichlet(np.ones(2)), 1.0))
        if count > 1:
            yes = int(np.clip(round(count * share), 1, count - 1))
            nodes[place].column = int(rng.integers(60))
            nodes[place].there, nodes[place].absent = grow(yes), grow(count - yes)
        return place

    grow(128)
    student = FittedDecisionTree(("no", "yes"), features, nodes)
    texts = worlds.texts(200, seed=3)
    assert len({row[0] for row in student.predict_proba(texts).tolist()}) > 3
    same(student, texts)


def test_the_conditions_are_all_that_is_asked():
    student = stored.fitted("rule-list")
    asked = {student.features.kept[c].words for r in student.rules for c, _ in r.literals}
    found = re.findall(r"LIKE '% (.*?) %'", as_sql(student))
    assert {phrase.replace("!", "") for phrase in found} == asked


def test_a_linear_student_at_the_limit_runs_and_above_it_is_refused():
    for rows in (MOST, MOST + 1):
        features = Features(ReadableFeatures(), [Feature("ngram", f"word{j}") for j in range(rows)])
        weights = np.random.default_rng(0).normal(size=(rows, 3))
        student = FittedSparseLinear(
            ("a", "b", "c"), features, Linear(np.arange(rows), weights, np.zeros(3))
        )
        if rows == MOST:
            same(student, worlds.texts(50))
        else:
            with pytest.raises(CapabilityError, match="at most 300 terms, got 301"):
                as_sql(student)


@pytest.mark.parametrize(
    ("feature", "why"),
    [
        (Feature("denied", "late"), "'late' denied (what a negation reaches"),
        (Feature("first", "late"), "'late' at the beginning (its place"),
        (Feature("last", "late"), "'late' at the end (its place"),
        (Feature("lexicon", "debt", 2), "2 or more words of debt (words of a list"),
        (Feature("ngram", "Late"), "no text is split into such words"),
        (Feature("ngram", "a b c"), "no text is split into such words"),
        (Feature("ngram", "\x00"), "NUL"),
    ],
)
def test_what_comparing_text_cannot_find_is_refused(feature, why):
    student = of_phrases(["late"], lexicons={"debt": ("loan",)})
    student.features = Features(student.features.spec, [feature])
    with pytest.raises(CapabilityError, match=re.escape(why)):
        as_sql(student)


def test_refusals():
    with pytest.raises(CapabilityError, match="kind 'prototypes' is not written as SQL"):
        as_sql(stored.fitted("prototypes"))
    for bad in ("a\x00b", "\ud800"):
        with pytest.raises(InputError):
            spaced(bad)
    for name in ("answer", "f3", "z0", ""):
        with pytest.raises(OptionError):
            as_sql(stored.fitted("decision-tree"), key=name)
