import hashlib
import json

import numpy as np
import pytest
from tests.students import stored, worlds

from whence.core.errors import CapabilityError, NewerVersionError, RecordError, WriteError
from whence.students.export import model_file
from whence.students.export.runtime import Runtime
from whence.students.export.store import load_student, save_student
from whence.students.families.baselines import opaque_ceiling
from whence.students.families.registry import fitted_class
from whence.students.families.sparse_linear import FittedSparseLinear
from whence.students.features.tokenizer import VERSION, negated, tokens
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures
from whence.students.fitting.logistic import Linear

INTERCEPT = np.array([0.1, 0.2, 0.3])


def large(rows=1200):
    features = Features(ReadableFeatures(), [Feature("ngram", f"word{j}") for j in range(rows)])
    weights = np.random.default_rng(0).normal(size=(rows, 3))
    return FittedSparseLinear(
        ("a", "b", "c"), features, Linear(np.arange(rows), weights, INTERCEPT)
    )


def rewritten(folder, change):
    """The stored tree changed, with a digest that fits."""
    path = folder / "model.json"
    tree = json.loads(path.read_text())
    change(tree)
    tree["sha256"] = model_file.digest(tree)
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize("rich", [False, True])
@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("kind", stored.STUDENTS)
def test_read_back_decides_bit_for_bit(kind, labels, rich, tmp_path):
    if kind == "scorecard" and labels > 2:
        pytest.skip("a scorecard is for two labels")
    student = stored.fitted(kind, labels, rich)
    save_student(student, tmp_path / "new" / "folder")
    again = load_student(tmp_path / "new" / "folder")
    texts = [*worlds.texts(60, seed=5), *stored.ODD]
    assert type(again) is type(student)
    assert again.to_json() == student.to_json()
    assert np.array_equal(again.predict_proba(texts), student.predict_proba(texts))
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"model.json"}


def test_a_person_can_read_it(tmp_path):
    save_student(stored.fitted("rule-list"), tmp_path)
    text = (tmp_path / "model.json").read_text()
    tree = json.loads(text)
    assert tree["schema_version"] == 3
    assert tree["words_version"] == VERSION
    assert tree["labels"] == ["accept", "reject"]
    assert '["ngram", "late", 1]' in text
    assert max(len(line) for line in text.splitlines()) < 200
    assert len(text.splitlines()) > 15


class TestLarge:
    def test_numbers_lie_beside_it(self, tmp_path):
        student = large()
        save_student(student, tmp_path)
        tree = json.loads((tmp_path / "model.json").read_text())
        data = (tmp_path / "weights.safetensors").read_bytes()
        assert tree["weights"] == {"array": "weights"}
        assert tree["arrays"]["sha256"] == hashlib.sha256(data).hexdigest()
        assert len(tree["features"]["features"]) == 1200
        assert np.array_equal(load_student(tmp_path).weights, student.weights)
        assert Runtime.load(tmp_path).decide("word7 word8").label in "abc"

    def test_damaged_weights_are_refused(self, tmp_path):
        save_student(large(), tmp_path)
        path = tmp_path / "weights.safetensors"
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
        for read in (load_student, Runtime.load):
            with pytest.raises(
                RecordError, match=r"weights\.safetensors does not have the SHA-256"
            ):
                read(tmp_path)
        path.unlink()
        with pytest.raises(RecordError, match="could not read"):
            load_student(tmp_path)

    def test_weights_of_another_student_are_refused(self, tmp_path):
        save_student(large(), tmp_path / "one")
        save_student(large(1300), tmp_path / "two")
        other = (tmp_path / "two" / "weights.safetensors").read_bytes()
        (tmp_path / "one" / "weights.safetensors").write_bytes(other)
        with pytest.raises(RecordError, match="of another student"):
            load_student(tmp_path / "one")

    def test_a_small_one_saved_over_it_leaves_no_weights(self, tmp_path):
        save_student(large(), tmp_path)
        save_student(stored.fitted("sparse-linear"), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
        assert load_student(tmp_path).labels == ("accept", "reject")

    def test_no_other_file_is_read(self, tmp_path):
        save_student(large(), tmp_path)
        rewritten(tmp_path, lambda tree: tree["arrays"].update(file="../weights.safetensors"))
        with pytest.raises(RecordError, match=r"names '\.\./weights"):
            load_student(tmp_path)


class TestVersions:
    def test_a_newer_one_is_refused_by_name(self, tmp_path):
        save_student(stored.fitted("decision-tree"), tmp_path)
        rewritten(tmp_path, lambda tree: tree.update(schema_version=4))
        for read in (load_student, Runtime.load):
            with pytest.raises(NewerVersionError, match=r"schema version 4; .* versions 1 to 3"):
                read(tmp_path)

    def test_an_older_one_is_migrated(self, tmp_path, monkeypatch):
        student = stored.fitted("decision-tree")
        save_student(student, tmp_path)

        def renamed(tree):
            new = {name: value for name, value in tree.items() if name != "names"}
            return {**new, "labels": tree["names"]}

        rewritten(tmp_path, lambda tree: tree.update(names=tree.pop("labels")))
        monkeypatch.setattr(model_file, "SCHEMA_VERSION", 4)
        monkeypatch.setitem(model_file.MIGRATIONS, 3, renamed)
        assert load_student(tmp_path).to_json() == student.to_json()

    def test_every_older_version_has_its_step(self):
        assert sorted(model_file.MIGRATIONS) == list(range(1, model_file.SCHEMA_VERSION))

    def test_other_words_are_refused(self, tmp_path):
        save_student(stored.fitted("decision-tree"), tmp_path)
        rewritten(tmp_path, lambda tree: tree.update(words_version=VERSION + 1))
        with pytest.raises(NewerVersionError, match="tokenizer version"):
            load_student(tmp_path)

    def test_a_version_that_is_none(self, tmp_path):
        for bad in (None, "1", True, 0):
            save_student(stored.fitted("decision-tree"), tmp_path)
            rewritten(tmp_path, lambda tree, bad=bad: tree.update(schema_version=bad))
            with pytest.raises(RecordError, match="positive integer"):
                load_student(tmp_path)

    def test_the_tokenizer_is_as_its_version_says(self):
        """What is stored names this version; whoever changes what follows raises it."""
        found = tokens("Didn’t! NOT a İstanbul’s Straße, naïve\u0301 «x» 1,000.5 a_b \\ 日本 👍🏽")
        told = [[*token, denied] for token, denied in zip(found, negated(found), strict=True)]
        seen = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        assert (VERSION, seen[:16]) == (1, "85f9db614553e275")


class TestDamage:
    @pytest.mark.parametrize("kind", stored.STUDENTS)
    def test_a_changed_number_is_refused(self, kind, tmp_path):
        save_student(stored.fitted(kind), tmp_path)
        path = tmp_path / "model.json"
        text = path.read_text()
        place = text.index('"sha256"')
        for at in range(place - 40, 0, -1):
            if text[at].isdigit():
                digit = "1" if text[at] != "1" else "2"
                path.write_text(text[:at] + digit + text[at + 1 :])
                break
        for read in (load_student, Runtime.load):
            with pytest.raises(RecordError, match=r"not what was written|is not JSON"):
                read(tmp_path)

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "not JSON"),
            (b"[1]", "holds a list"),
            (b'{"schema_version": NaN}', "NaN is no number"),
            (b"[" * 100_000, "not JSON"),
            (b"\xff\xfe{}", "not JSON"),
        ],
    )
    def test_what_is_no_student(self, data, says, tmp_path):
        (tmp_path / "model.json").write_bytes(data)
        with pytest.raises(RecordError, match=says):
            load_student(tmp_path)

    def test_a_missing_one(self, tmp_path):
        with pytest.raises(RecordError, match=r"could not read .*model\.json"):
            load_student(tmp_path)

    def test_an_unknown_kind(self, tmp_path):
        save_student(stored.fitted("decision-tree"), tmp_path)
        rewritten(tmp_path, lambda tree: tree.update(kind="oracle"))
        with pytest.raises(
            RecordError, match=r"expected a student of a kind that this whence knows .*'oracle'"
        ):
            load_student(tmp_path)
        with pytest.raises(RecordError, match="'oracle' has no runtime"):
            Runtime.load(tmp_path)
        with pytest.raises(RecordError, match="oracle"):
            fitted_class("oracle")

    @pytest.mark.parametrize(
        ("kind", "change"),
        [
            ("decision-tree", lambda t: t["nodes"][0].__setitem__(3, 0)),
            ("decision-tree", lambda t: t["nodes"][0].__setitem__(2, 99)),
            ("decision-tree", lambda t: t.update(nodes=[])),
            ("additive", lambda t: t["pairs"].append([0, 99])),
            ("tree-sum", lambda t: t["trees"][0][0].__setitem__(4, 0)),
            ("rule-list", lambda t: t["rules"][0][0].append([-1, True])),
            ("rule-list", lambda t: t["rules"][-1].__setitem__(1, [1.0])),
            ("rule-list", lambda t: t.update(rules=[])),
            ("sparse-linear", lambda t: t["weights"].pop()),
            ("sparse-linear", lambda t: t["intercept"].__setitem__(0, "many")),
            ("scorecard", lambda t: t["sums"].reverse()),
            ("scorecard", lambda t: t.update(labels=["a", "b", "c"])),
            ("prototypes", lambda t: t["rarity"].pop()),
            ("prototypes", lambda t: t.pop("features")),
            ("prototypes", lambda t: t.update(cases=[["only a text"]])),
        ],
    )
    def test_what_makes_no_sense_is_refused_though_its_digest_fits(self, kind, change, tmp_path):
        save_student(stored.fitted(kind), tmp_path)
        rewritten(tmp_path, change)
        for read in (load_student, Runtime.load):
            with pytest.raises(RecordError, match="no valid student"):
                read(tmp_path)


def test_what_nobody_reads_is_not_stored(tmp_path):
    texts = worlds.texts(30)
    student = opaque_ceiling(texts, stored.answers(texts, "ab"), labels=("a", "b"))
    with pytest.raises(CapabilityError, match="kind 'opaque' and is not stored"):
        save_student(student, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_finite_is_not_stored(tmp_path):
    for rows in (3, 1200):
        student = large(rows)
        student.weights[0, 0] = np.nan
        with pytest.raises(RecordError, match="cannot be stored"):
            save_student(student, tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(WriteError, match="could not make the folder"):
        save_student(stored.fitted("decision-tree"), tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("old", "kind"),
    [("linear", "sparse-linear"), ("rules", "rule-list"), ("tree", "decision-tree")],
)
def test_a_kind_of_version_1_is_read_under_its_family(old, kind, tmp_path):
    student = stored.fitted(kind)
    save_student(student, tmp_path)
    rewritten(tmp_path, lambda tree: tree.update(kind=old, schema_version=1))
    assert type(load_student(tmp_path)) is type(student)
    assert load_student(tmp_path).to_json() == student.to_json()
    assert Runtime.load(tmp_path).kind == kind
