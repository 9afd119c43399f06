import csv
import functools
import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.students import stored, worlds

from whence.cases import generate
from whence.core.errors import CapabilityError, OptionError
from whence.students.export.sql import MOST, as_sql
from whence.students.families.decision_tree import FittedDecisionTree, Node
from whence.students.families.rule_list import FittedRuleList, Literal, Rule
from whence.students.families.scorecard import FittedScorecard
from whence.students.families.sparse_linear import FittedSparseLinear
from whence.students.features.tokenizer import words
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures
from whence.students.features.word_features import phrases
from whence.students.fitting.logistic import Linear
from whence.students.formats.sql_features import literal

HARD = ["%", "_", "'", '"', "\\", "!", "!!", "[late]", "100 %", "o'hara", "é", "ß", "naïve\u0301",
        "late_", "a_b", "\\%", "%_'", "日本", "👍", "מאוחר", "--", ";", "LATE"]  # fmt: skip
CASES = [
    (k, n)
    for k in ("sparse-linear", "additive", "scorecard", "rule-list", "decision-tree")
    for n in (2, 3)
]
CASES.remove(("scorecard", 3))


def queried(query, texts, table="texts", key="id", text="text"):
    with sqlite3.connect(":memory:") as db:
        db.execute(f'CREATE TABLE "{table}" ("{key}" INTEGER PRIMARY KEY, "{text}" TEXT)')
        db.executemany(f'INSERT INTO "{table}" VALUES (?, ?)', enumerate(texts))
        done = db.execute(query)
        names = [column[0] for column in done.description]
        found = sorted(done.fetchall())
    db.close()
    assert [row[0] for row in found] == list(range(len(texts)))
    return names, found


def read(text):
    """Whether the query reads a text: Windows-1252 without controls and without the soft hyphen."""
    return re.fullmatch(
        "[\t-\r -~\xa0-\xac\xae-\xffŒœŠšŽžŸƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]*", text
    ) and not re.search("['’]{64}", text)


def same(student, texts, **options):
    names, found = queried(as_sql(student, **options), texts, **options)
    agree(student, texts, names, found)


def agree(student, texts, names, found):
    """The student's answer of every text that the query reads, NULL of the others."""
    place = names.index("label")
    assert names[place + 1 :] == [f"probability of {label}" for label in student.labels]
    known = [row for row in found if row[place] is not None]
    texts_read = [text for text in texts if read(text)]
    assert [texts[row[0]] for row in known] == texts_read
    assert all(set(row[1:]) == {None} for row in found if row[place] is None)
    assert [row[place] for row in known] == student.predict(texts_read)
    if texts_read:
        chances = np.array([row[place + 1 :] for row in known], dtype=float)
        assert chances == pytest.approx(student.predict_proba(texts_read), rel=0, abs=1e-12)


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


PIECES = ["'", "’", "''", "'" * 5, "'" * 63, "'" * 64, "a", "LATE", "late", "_", "9", "É", "ß", "µ",
          "²", "ª", " ", "  ", "\n", "\r\n", "\t", "\v", "\f", "\xa0", "\xad", "\x00", "\x01", "\x1c",
          "\x85", "\u2028", "İ", "K", "…", "“", "e\u0301", "日", ".", ",", "-", "(", "%"]  # fmt: skip


@settings(max_examples=100)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_raw_text_is_split_as_the_student_splits_it(text):
    found = [word for word in words(text) if word != "\x00"]
    student = of_phrases(
        sorted({" ".join(found[at : at + 3]) for at in range(len(found))}), longest=3
    )
    same(student, [text, text.upper(), f"late {text}'s", f"'{text}' late"])


def test_a_row_of_apostrophes_of_any_length():
    texts = [f"{a}{sign * n}{b}" for n in range(70) for sign in "'’" for a in ("", "a", "a ")
             for b in ("", "b", ".b")]  # fmt: skip
    phrases = sorted({" ".join(words(text)[:3]) for text in texts} - {""})
    same(of_phrases(phrases, longest=3), texts)


def changed(text, turn):
    """A text as people write it: capitals, lines, apostrophes, double spaces, quotes, signs."""
    ways = [
        lambda t: t,
        str.upper,
        lambda t: t.replace(" ", "  "),
        lambda t: t.replace(". ", ".\r\n\r\n\t"),
        lambda t: t.replace("s ", "'s "),
        lambda t: t.replace("s ", "’s "),
        lambda t: f"“{t.replace(' ', ' – ', 3)}” (É, ÄÖÜ, straße) 'QUOTED'",
        lambda t: t.replace("e ", "e\u0301 "),
        lambda t: t + " 日本",
    ]
    return ways[turn % len(ways)](text)


@functools.cache
def cases():
    drawn = [
        case for domain in ("credit", "health", "law") for case in generate(domain, 324, seed=5)
    ]
    return [changed(case.text, turn) for turn, case in enumerate(drawn)]


@functools.cache
def of_cases(kind):
    """A student of the cases' own phrases, whose answers differ from text to text."""
    split = [phrases(words(text), 2) for text in cases()]
    counts = Counter(phrase for found in split for phrase in sorted(found))
    # Neither in all texts nor in few.
    kept = sorted((p for p, n in counts.items() if 40 < n < 600), key=lambda p: (-counts[p], p))[
        :120
    ]
    features = Features(ReadableFeatures(), [Feature("ngram", phrase) for phrase in kept])
    table = features.table(cases())
    weights = np.random.default_rng(0).normal(size=(len(kept), 2)) / 4
    base = -(table @ weights).mean(axis=0)
    linear = Linear(np.arange(len(kept)), weights, base)
    student = FittedSparseLinear(("no", "yes"), features, linear)
    if kind == "sparse-linear":
        return student
    chances = student.predict_proba(cases())
    return stored.STUDENTS[kind].fit(table, chances, features=features, labels=("no", "yes"))


@pytest.mark.parametrize("kind", ["sparse-linear", "decision-tree"])
def test_the_query_reads_raw_texts(kind):
    student = of_cases(kind)
    texts = cases()
    assert len(texts) == 972
    assert sum(1 for text in texts if read(text)) == 756
    assert len(set(student.predict(texts))) == 2
    same(student, texts)


POSTGRES = shutil.which("initdb") or next(
    map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
)


@pytest.fixture(scope="module")
def psql(tmp_path_factory):
    """Runs a script in a PostgreSQL server of its own and gives the rows as text."""
    if POSTGRES is None:
        pytest.skip("no PostgreSQL server is installed")
    # A socket's path is at most some hundred characters long.
    with tempfile.TemporaryDirectory(prefix="pg") as place:
        # Other programs lie beside it, not beside a link to it.
        programs = Path(POSTGRES).resolve().parent
        user = {}
        if os.geteuid() == 0:
            # The server refuses to run as root.
            shutil.chown(place, "postgres", "postgres")
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        data = ["-D", f"{place}/data"]
        start = [
            programs / "initdb",
            *data,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-U",
            "me",
            "-N",
        ]
        subprocess.run(start, check=True, capture_output=True, cwd=place, **user)
        serve = [programs / "postgres", *data, "-k", place, "-c", "listen_addresses="]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(serve, stdout=quiet, stderr=quiet, cwd=place, **user) as server:
            try:
                ready = [programs / "pg_isready", "-h", place, "-q"]
                for _ in range(100):
                    if subprocess.run(ready, check=False).returncode == 0:
                        break
                    time.sleep(0.1)

                def run(script):
                    command = [programs / "psql", "-h", place, "-U", "me", "-d", "postgres", "--csv",
                               "-q", "-v", "ON_ERROR_STOP=1"]  # fmt: skip
                    done = subprocess.run(
                        command, input=script.encode(), capture_output=True, check=False
                    )
                    assert done.returncode == 0, done.stderr.decode()[-2000:]
                    return list(csv.reader(io.StringIO(done.stdout.decode())))

                yield run
            finally:
                server.send_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", ["sparse-linear", "decision-tree", "scorecard", "odd", "great"])
def test_postgresql_answers_as_the_student(kind, psql):
    texts = [*cases()[:200], *stored.ODD, *HARD]
    if kind == "odd":
        texts += ["".join(PIECES[at : at + 4]) for at in range(len(PIECES))]
        student = of_phrases(
            sorted({word for text in texts[200:] for word in words(text)} - {"\x00"})
        )
    elif kind == "great":
        features = Features(
            ReadableFeatures(), [Feature("ngram", w) for w in ("late", "loan", "é")]
        )
        weights = np.array([[-900.0, 900.0], [0.1, 0.2], [0.2, 0.1]])
        model = Linear(np.arange(3), weights, np.array([-0.3, -0.3]))
        student = FittedSparseLinear(("no", "yes"), features, model)
    else:
        student = stored.fitted("scorecard") if kind == "scorecard" else of_cases(kind)
    texts = [text for text in texts if "\x00" not in text]
    rows = ",".join(f"({at}, {literal(text)})" for at, text in enumerate(texts))
    made = f"CREATE TEMP TABLE texts (id int, text text); INSERT INTO texts VALUES {rows};\n"
    names, *found = psql(made + as_sql(student, dialect="postgresql").rstrip() + ";\n")
    asked = sorted([int(row[0]), *(cell or None for cell in row[1:])] for row in found)
    assert len(asked) == len(texts)
    agree(student, texts, names, asked)


def test_a_row_without_a_text_has_no_answer():
    for kind in ("scorecard", "rule-list", "sparse-linear"):
        with sqlite3.connect(":memory:") as db:
            db.execute("CREATE TABLE texts (id INTEGER, text TEXT)")
            db.execute("INSERT INTO texts VALUES (7, NULL)")
            [row] = db.execute(as_sql(stored.fitted(kind))).fetchall()
        db.close()
        assert row[0] == 7
        assert set(row[1:]) == {None}


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
        (Feature("amount", "", 1e4), "amount > 10,000 (no comparison of text reads a number"),
        (Feature("age <=", "", 30.0), "age <= 30 (no comparison of text reads a number"),
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
    for table in ("prepared", "Text12", "found"):
        with pytest.raises(OptionError, match="part of the query itself"):
            as_sql(stored.fitted("decision-tree"), table=table)
    with pytest.raises(
        OptionError, match="expected a dialect among sqlite, postgresql, got 'duckdb'"
    ):
        as_sql(stored.fitted("decision-tree"), dialect="duckdb")
    for name in ("answer", "Words", "f3", "z0", ""):
        with pytest.raises(OptionError):
            as_sql(stored.fitted("decision-tree"), key=name)
