import json
import re
from dataclasses import dataclass, fields, is_dataclass, replace

import pytest
from tests.students import certified, stored, worlds

from whence.core.errors import CapabilityError, OptionError, RecordError
from whence.core.statistics.proportions import Interval, Proportion, proportion
from whence.students.certificate.certificate import Certificate
from whence.students.export.artefacts import save_artefacts
from whence.students.export.model_card import model_card
from whence.students.export.runtime import Runtime
from whence.students.export.store import load_student
from whence.students.export.student_card import DomainLimits, SplitPart, StudentCard
from whence.students.families.baselines import opaque_ceiling

ORIGIN = StudentCard(
    name="rule-list-8", date="2026-01-31", teacher="bank/risk|v2", fingerprint="ab12",
    parts={
        "fit": SplitPart(texts=1200, sha256="0f" * 32),
        "certify": SplitPart(texts=400, sha256="1e" * 32),
    },
    regions=("contains 'than': agrees 0.77 (lower 0.70, n=102)",), applicability_domain=None,
    near_duplicates=0.8, least_texts=5,
)  # fmt: skip


def card(certificate=None, **options):
    made = certified.certificate() if certificate is None else certificate
    return model_card(stored.fitted("rule-list"), made, replace(ORIGIN, **options))


def rows(text):
    found = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in found}


def measured(value):
    """Every estimate with its bounds, wherever it is."""
    if isinstance(value, Interval | Proportion):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from measured(getattr(value, field.name))
    elif isinstance(value, dict):
        for own in value.values():
            yield from measured(own)


def test_no_number_is_lost():
    certificate = certified.certificate()
    shown = rows(card(certificate)).values()
    found = list(measured(certificate))
    assert len(found) > 12
    for one in found:
        due = [f"{one.value:.4g}", f"{one.lower:.4g}", f"{one.upper:.4g}", f"{one.n:,}"]
        assert ["undefined" if cell == "nan" else cell for cell in due] in shown


def test_what_it_says():
    certificate = certified.certificate()
    text = card(certificate)
    shown = rows(text)
    assert f"**{certificate.verdict}**" in text
    assert certificate.because in text
    assert shown["agreement"][-1] == "200"
    assert shown["target"][0] == "0.95"
    assert shown["Teacher"] == ["`bank/risk\\|v2`"]
    assert shown["Fingerprint of the teacher"] == ["`ab12`"]
    assert shown["Date"] == ["2026-01-31"]
    assert shown["fit"] == ["1,200", f"`{'0f' * 32}`"]
    assert shown["slices: rare"][0] == "too few texts"
    assert shown["on mistakes"][0] == "not measured"
    assert any(name.startswith("slices: long \\| &lt;texts&gt; (level 0.9") for name in shown)
    assert shown["flips: drop: recall"][-1] == str(certificate.flips["drop"].recall.n)
    assert "terms of service" in text
    assert "Not to be trusted: contains 'than'" in text
    assert "Runtime.load" in text


@dataclass(frozen=True, kw_only=True)
class Wider(Certificate):
    strange: dict


def test_a_field_that_is_added_later_is_shown():
    certificate = certified.certificate()
    own = {field.name: getattr(certificate, field.name) for field in fields(Certificate)}
    more = {
        "new": (Interval(0.12345, 0.1, 0.2, 77), {"words": ("a|b", "c")}),
        "no": None,
        "yes": True,
    }
    shown = rows(card(Wider(**own, strange=more)))
    assert shown["strange: new: 1"] == ["0.1235", "0.1", "0.2", "77"]
    assert shown["strange: new: 2: words"][0] == "`a\\|b`, `c`"
    assert shown["strange: no"][0] == "too few texts"
    assert shown["strange: yes"][0] == "True"


def test_what_is_not_known_is_said():
    text = card(fingerprint=None, parts=None, regions=())
    assert "none: it is a function without a version" in text
    assert "Nothing was told of the texts" in text
    assert "Not to be trusted" not in text
    held = model_card(stored.fitted("prototypes"), certified.certificate(), ORIGIN)
    assert "holds training texts word for word" in held
    assert "holds training texts" not in text


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_a_level_is_named_where_it_is_not_the_certificates(level):
    made = replace(
        certified.certificate(), level=level, agreement=proportion(90, 100, level=level),
        on_hits=proportion(80, 100, level=0.95), on_mistakes=proportion(5, 100, level=0.5),
    )  # fmt: skip
    text = card(made)
    shown = rows(text)
    assert f"each at level {level:g} unless a row says otherwise" in text
    assert "agreement" in shown
    assert ("on hits" in shown) == (level == 0.95)
    assert ("on hits (level 0.95)" in shown) == (level != 0.95)
    assert "on mistakes (level 0.5)" in shown


def test_what_the_teacher_did_not_read_is_said():
    known = DomainLimits(longest=1200, rarest=0.0025, cut_from=None)
    text = card(applicability_domain=known)
    assert "asks the teacher of texts of more than 1,200 words" in text
    assert "more than 0.25 % were never met" in text
    assert "read in part" not in text
    text = card(applicability_domain=replace(known, cut_from=4096))
    assert "Texts from 4,096 characters on were read in part by the teacher" in text
    assert "give it only what the teacher reads" in text


def test_a_date_that_is_none():
    with pytest.raises(OptionError, match="31st of January"):
        card(date="31st of January")


class TestArtefacts:
    def write(self, kind, folder, certificate=None, also=(), **options):
        made = certified.certificate(kind) if certificate is None else certificate
        origin = replace(ORIGIN, **options)
        return save_artefacts(
            stored.fitted(kind), folder, made, origin, texts=worlds.texts(20), also=also
        )

    @pytest.mark.parametrize(
        ("kind", "lacks"),
        [
            ("rule-list", {"tree.svg"}),
            ("decision-tree", set()),
            ("sparse-linear", {"tree.svg"}),
            ("additive", {"tree.svg"}),
            ("scorecard", {"tree.svg"}),
            ("tree-sum", {"tree.svg", "rules.sql"}),
            ("prototypes", {"tree.svg", "rules.sql", "model.onnx"}),
        ],
    )
    def test_everything_it_can_have(self, kind, lacks, tmp_path):
        pytest.importorskip("onnxruntime")
        made = self.write(kind, tmp_path / "out")
        every = {"model.json", "rules.md", "rules.sql", "tree.svg", "model.onnx"}
        every |= {"certificate.json", "provenance.json", "README.md"}
        assert set(made.left_out) == lacks
        assert set(made.written) == every - lacks
        assert {path.name for path in (tmp_path / "out").iterdir()} == every - lacks
        assert all(
            "is not written" in why or "can be drawn" in why for why in made.left_out.values()
        )
        text = (tmp_path / "out" / "README.md").read_text()
        for file in (*made.written, *made.left_out):
            assert f"| `{file}` |" in text
        stored_numbers = json.loads((tmp_path / "out" / "certificate.json").read_text())
        assert Certificate.from_json(stored_numbers) == certified.certificate(kind)
        student = stored.fitted(kind)
        assert load_student(tmp_path / "out").to_json() == student.to_json()
        label = Runtime.load(tmp_path / "out").decide("late fraud").label
        assert label == student.predict(["late fraud"])[0]

    def test_where_it_came_from_stands_beside_the_certificate(self, tmp_path):
        domain = DomainLimits(longest=12, rarest=0.25, cut_from=90)
        made = self.write("rule-list", tmp_path, applicability_domain=domain)
        assert "provenance.json" in made.written
        assert json.loads((tmp_path / "provenance.json").read_text()) == {
            "kind": "student-card",
            "schema_version": 3,
            "name": "rule-list-8",
            "date": "2026-01-31",
            "teacher": "bank/risk|v2",
            "fingerprint": "ab12",
            "parts": {
                "fit": {"texts": 1200, "sha256": "0f" * 32},
                "certify": {"texts": 400, "sha256": "1e" * 32},
            },
            "regions": ["contains 'than': agrees 0.77 (lower 0.70, n=102)"],
            "applicability_domain": {"longest": 12, "rarest": 0.25, "cut_from": 90},
            "near_duplicates": 0.8,
            "least_texts": 5,
        }
        card = (tmp_path / "README.md").read_text()
        assert "each of which stands in 5 or more of the texts" in card
        assert "Texts of a similarity of 0.8 or more" in card
        assert "Texts from 90 characters on" in (tmp_path / "README.md").read_text()
        self.write("rule-list", tmp_path, fingerprint=None, parts=None)
        bare = json.loads((tmp_path / "provenance.json").read_text())
        assert (bare["fingerprint"], bare["parts"], bare["applicability_domain"]) == (
            None,
            None,
            None,
        )

    def test_the_card_lists_what_the_caller_writes_afterwards(self, tmp_path):
        made = self.write("rule-list", tmp_path, also=("router.json", "report.html"))
        assert not {"router.json", "report.html"} & set(made.written)
        shown = rows((tmp_path / "README.md").read_text())
        for file in (*made.written, "router.json", "report.html"):
            assert shown[f"`{file}`"][0]

    def test_nothing_of_another_student_stays(self, tmp_path):
        self.write("decision-tree", tmp_path)
        made = self.write("prototypes", tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == set(made.written)

    def test_a_missing_extra_leaves_a_file_out(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "onnx", None)
        made = self.write("rule-list", tmp_path)
        assert "whence[onnx]" in made.left_out["model.onnx"]
        assert "rules.sql" in made.written

    def test_nothing_is_written_where_a_card_a_record_or_the_student_is_refused(self, tmp_path):
        with pytest.raises(OptionError):
            self.write("rule-list", tmp_path / "out", date="today")
        half = replace(certified.certificate("rule-list"), because="half a pair \ud800")
        with pytest.raises(RecordError, match="lone surrogate"):
            self.write("rule-list", tmp_path / "out", certificate=half)
        with pytest.raises(RecordError, match="lone surrogate"):
            self.write("rule-list", tmp_path / "out", regions=("half a pair \ud800",))
        texts = worlds.texts(30)
        opaque = opaque_ceiling(texts, stored.answers(texts, "ab"), labels=("a", "b"))
        opaque.features = stored.fitted("rule-list").features
        with pytest.raises(CapabilityError, match="not stored"):
            save_artefacts(opaque, tmp_path / "out", certified.certificate(), ORIGIN, texts=texts)
        assert not (tmp_path / "out").exists()
