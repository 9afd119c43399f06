import numpy as np
import pytest

from whence.core.errors import InputError, OptionError
from whence.students.routing.selective_prediction import (
    Scored,
    SelectivePrediction,
    certified_threshold,
    selective_prediction,
)

RUNS = {"slow": 400, "quick": 100}
SPEEDS = [pytest.param("slow", marks=pytest.mark.slow), "quick"]
AVERAGE = 0.9499
"""Just below the target of .95: a certificate of all texts is false."""


def allowed(runs):
    """Three standard errors above the nominal rate of .10."""
    return 0.10 + 3 * np.sqrt(0.09 / runs)


def chance(certainty, slope):
    return np.minimum(AVERAGE + slope * (certainty - 0.5), 1.0)


def drawn(rng, n, slope, vetoed=0.0, inside=0.3):
    """Certainty is uniform; in a share of texts, vetoed, the two agree as often as ``inside``."""
    certainty = rng.random(n)
    veto = rng.random(n) < vetoed
    agrees = rng.random(n) < np.where(veto, inside, chance(certainty, slope))
    return Scored(certainty, agrees, veto)


class TestFalseCertification:
    @pytest.mark.parametrize("speed", SPEEDS)
    @pytest.mark.parametrize("n", [200, 500, 1500])
    @pytest.mark.parametrize("slope", [0.0, 0.2])
    def test_answering_alone(self, n, slope, speed):
        runs = RUNS[speed]
        rng = np.random.default_rng(n)
        thresholds = np.linspace(0.0, 0.9, 19)
        false = certified = 0
        for _ in range(runs):
            part = drawn(rng, n, slope)
            passed = certified_threshold(
                part.certainty, part.same, thresholds=thresholds, target=0.95, level=0.9
            )
            if passed is not None:
                certified += 1
                false += chance(np.linspace(passed, 1, 2001), slope).mean() < 0.95
        assert false / runs <= allowed(runs)
        if slope and n == 1500:
            assert certified / runs > 0.5

    @pytest.mark.parametrize("speed", SPEEDS)
    @pytest.mark.parametrize("n", [200, 500, 1500])
    @pytest.mark.parametrize("slope", [0.0, 0.2])
    def test_with_thresholds_of_select_and_vetoes(self, n, slope, speed):
        """One text in ten is vetoed; what is certified is the agreement of what is answered."""
        runs = RUNS[speed]
        rng = np.random.default_rng(n + 1)
        false = certified = covered = 0
        for _ in range(runs):
            select, certify, report = (
                drawn(rng, size, slope, vetoed=0.1) for size in (n // 2, n, n // 2)
            )
            found = selective_prediction(select, certify, report, target=0.95, level=0.9)
            if found.threshold is not None:
                certified += 1
                covered += found.coverage.value
                grid = np.linspace(max(found.threshold, 0.0), 1, 2001)
                false += chance(grid, slope).mean() < 0.95
        assert false / runs <= allowed(runs)
        if slope and n == 1500:
            assert certified / runs > 0.5
            assert covered / certified <= 0.9

    def test_a_search_without_a_fixed_order_would_be_caught(self):
        """Taking the best of all thresholds, as a naive search does, certifies falsely too often.

        The simulations above can fail: this is a procedure that they do fail.
        """
        rng = np.random.default_rng(0)
        thresholds = np.linspace(0.0, 0.9, 19)
        false = 0
        for _ in range(100):
            certainty, same = rng.random(1500), rng.random(1500) < AVERAGE
            passed = [
                certified_threshold(
                    certainty, same, thresholds=np.array([t]), target=0.95, level=0.9
                )
                for t in thresholds
            ]
            false += any(threshold is not None for threshold in passed)
        assert false / 100 > allowed(100)

    def test_vetoes_left_in_would_be_caught(self):
        """The same texts with their vetoes forgotten agree too seldom to be certified."""
        rng = np.random.default_rng(0)
        certified = {True: 0, False: 0}
        for _ in range(20):
            part = drawn(rng, 1500, 0.3, vetoed=0.1)
            for kept in certified:
                veto = part.asked & kept
                found = selective_prediction(
                    part._replace(asked=veto),
                    part._replace(asked=veto),
                    part,
                    target=0.95,
                    level=0.9,
                )
                certified[kept] += found.threshold is not None
        assert certified[True] >= 18
        assert certified[False] <= 2


class TestOneResult:
    def test_counts_by_hand(self):
        certainty = np.linspace(0.001, 1.0, 1000)
        part = Scored(certainty, certainty > 0.2005, certainty > 0.9005)
        found = selective_prediction(part, part, part, target=0.95)
        assert (found.coverage.hits, found.coverage.n) == (
            int(((certainty >= found.threshold) & (certainty <= 0.9005)).sum()),
            1000,
        )
        assert found.agreement.n == found.coverage.hits
        # Of 700 and more answers up to 5 % may differ, less what the bound takes.
        assert found.threshold == pytest.approx(0.18)
        assert found.n == 1000
        last = found.curve[-1]
        assert (last.coverage.hits, last.agreement.hits) == (900, 700)
        assert [rung.threshold for rung in found.curve] == sorted(
            (rung.threshold for rung in found.curve), reverse=True
        )

    def test_every_rung_is_counted_as_told(self):
        rng = np.random.default_rng(3)
        select, certify, report = (drawn(rng, n, 0.2, vetoed=0.2) for n in (300, 600, 80))
        found = selective_prediction(select, certify, report)
        assert len(found.curve) == 20
        certainty, same = report.open()
        for rung in found.curve:
            inside = certainty >= rung.threshold
            assert (rung.coverage.hits, rung.coverage.n) == (inside.sum(), 80)
            if inside.sum() < 30:
                assert rung.agreement is None
            else:
                assert (rung.agreement.hits, rung.agreement.n) == (same[inside].sum(), inside.sum())
        assert "too few texts" in str(found)

    def test_a_student_of_few_certainties_answers_at_its_own(self):
        """Stored and read back it may be a hair less certain, and must still answer."""
        certainty = np.repeat([0.6, 0.9], 500)
        part = Scored(certainty, certainty > 0.7, certainty < 0)
        found = selective_prediction(part, part, part)
        assert found.coverage.value == 0.5
        assert 0.9 - 1e-8 < found.threshold < 0.9
        assert found.threshold <= 0.9 - 1e-12
        assert len(found.curve) == 2

    def test_one_disagreement_at_the_top_does_not_end_the_search(self):
        """Of the 30 surest texts one differs, of the 300 surest it is still one."""
        certainty = np.linspace(0.001, 1.0, 600)
        same = certainty > 0.5
        same[-3] = False
        part = Scored(certainty, same, certainty < 0)
        found = selective_prediction(part, part, part, target=0.9)
        assert found.threshold == pytest.approx(0.5, abs=0.01)
        top = certified_threshold(
            certainty, same, thresholds=np.array([r.threshold for r in found.curve]), target=0.9
        )
        assert top is None
        assert selective_prediction(certainty, part, part, target=0.9).threshold is None

    def test_nothing_is_certified_of_too_few(self):
        some = np.ones(20)
        assert certified_threshold(some, some > 0, thresholds=np.array([0.5])) is None
        part = Scored(some, some > 0, some < 0)
        found = selective_prediction(part, part, part)
        assert (found.threshold, found.agreement, found.coverage.hits) == (None, None, 0)
        assert str(found).startswith("always ask")

    def test_everything_asked_anyway_certifies_nothing(self):
        some = np.ones(200)
        part = Scored(some, some > 0, some > 0)
        found = selective_prediction(part, part, part)
        assert found.threshold is None
        assert found.curve == ()

    @pytest.mark.parametrize("good", [True, False])
    def test_written_and_read_back(self, good):
        rng = np.random.default_rng(0)
        certainty = rng.random(400)
        part = Scored(certainty, certainty > (0.1 if good else 2.0), certainty < 0)
        found = selective_prediction(part, part, part)
        assert (found.threshold is not None) == good
        assert SelectivePrediction.from_json(found.to_json()) == found

    def test_scored_from_the_numbers_of_both(self):
        teacher = np.array([[1.0, 0.0], [0.0, 1.0]])
        student = np.array([[0.7, 0.3], [0.8, 0.2]])
        part = Scored.of(teacher, student)
        assert part.certainty.tolist() == [0.7, 0.8]
        assert part.same.tolist() == [True, False]
        assert part.asked.tolist() == [False, False]
        with pytest.raises(InputError, match="shape"):
            Scored.of(teacher, student[:1])

    def test_refusals(self):
        some = np.ones(40)
        part = Scored(some, some > 0, some < 0)
        with pytest.raises(InputError, match="one text"):
            selective_prediction(Scored(some[:0], some[:0] > 0, some[:0] < 0), part, part)
        with pytest.raises(InputError, match="agreement and mark for each text, got 40, 40 and 3"):
            selective_prediction(part, part._replace(asked=some[:3] < 0), part)
        with pytest.raises(InputError, match="one agreement for each certainty, got 3 for 40"):
            certified_threshold(some, some[:3] > 0, thresholds=some)
        with pytest.raises(OptionError, match="target"):
            selective_prediction(part, part, part, target=1.0)
