import math
from itertools import pairwise, product

import numpy as np
import pytest
from scipy import optimize

from whence.core.errors import InputError, OptionError, UndefinedError
from whence.core.statistics.proportions import Interval
from whence.students.certificate.fidelity import kappa
from whence.students.certificate.learning_curve import (
    LearningCurve,
    Point,
    learning_curve,
    schedule,
)
from whence.students.certificate.power_law import PowerLaw, power_law, power_laws
from whence.students.data.run import Terms

SIZES = [100, 200, 400, 800, 1600]


def noisy(a, b, c, held=2000, seed=0):
    """A student that agrees so often that its kappa follows the law, on balanced labels."""
    teacher = np.random.default_rng(seed).integers(0, 2, held)

    def fit(rows):
        n = len(rows)
        agree = (1 + a - b * n**-c) / 2
        rng = np.random.default_rng([n, int(rows[0])])
        said = np.where(rng.random(held) < agree, teacher, 1 - teacher)
        return np.eye(2)[said]

    return fit, teacher


class TestLaw:
    @pytest.mark.parametrize("law", [(0.8, 4.0, 0.5), (0.6, 20.0, 1.0), (0.9, 2.0, 0.2)])
    def test_exact_values_give_the_law_back(self, law):
        a, b, c = law
        sizes = np.array(SIZES, dtype=float)
        found = power_law(sizes, a - b * sizes**-c)
        assert (found.a, found.c) == pytest.approx((a, c), abs=2e-3)
        assert found(3200) == pytest.approx(a - b * 3200.0**-c, abs=1e-4)

    def test_it_is_the_least_squares_of_a_grid(self):
        rng = np.random.default_rng(3)
        sizes = np.array(SIZES, dtype=float)
        for _ in range(5):
            values = np.sort(rng.random(5)) * 0.8
            found = power_law(sizes, values)
            own = ((np.array([found(n) for n in sizes]) - values) ** 2).sum()
            best = np.inf
            for c in np.linspace(0.05, 2, 60):
                for a in np.linspace(-1, 1, 81):
                    x = (sizes / 100) ** -c
                    b = np.clip((x @ (a - values)) / (x @ x), 0, 10)
                    best = min(best, ((a - b * x - values) ** 2).sum())
            assert own <= best + 1e-6

    def test_texts_for_is_the_inverse(self):
        law = PowerLaw(a=0.8, b=0.4, c=0.5, unit=100.0)
        assert law(int(law.texts_for(0.75))) == pytest.approx(0.75, abs=1e-4)
        assert math.isinf(law.texts_for(0.8))
        assert math.isinf(PowerLaw(a=0.8, b=0.4, c=0.05, unit=100.0).texts_for(0.7999))
        assert math.isinf(PowerLaw(a=0.8, b=0.0, c=0.5, unit=100.0).texts_for(0.7))


def curve(fit, n, teacher, seed=0, **options):
    return learning_curve(fit, n, teacher, Terms(seed=seed), **options)


class TestCurve:
    def test_rising(self):
        fit, teacher = noisy(0.9, 4.0, 0.5)
        found = curve(fit, 1600, teacher, start=100, replicates=60)
        assert [p.texts for p in found.points] == SIZES
        assert [p.draws for p in found.points] == [5, 5, 4, 2, 1]
        for point in found.points:
            assert point.kappa.value == pytest.approx(0.9 - 4 * point.texts**-0.5, abs=0.06)
            assert point.kappa.lower <= point.kappa.value <= point.kappa.upper
        # Exactly: .9 - 4 n^-.5 is .80 at 1,600 and .82 at 2,500.
        assert 300 < found.more_for(0.02) < 3000
        low, high = found.more_range(0.02)
        assert low <= found.more_for(0.02)
        assert high is None or high >= found.more_for(0.02)
        assert not found.flat
        assert "more questions for +0.02" in str(found)

    def test_flat(self):
        fit, teacher = noisy(0.7, 0.0, 0.5)
        found = curve(fit, 1600, teacher, start=100, replicates=60)
        assert found.flat
        assert found.more_for(0.1) is None
        assert "no number of questions would bring +0.1" in found.sentence(0.1)

    def test_the_mean_kappa_of_the_draws(self):
        fit, teacher = noisy(0.9, 4.0, 0.5, held=300)
        asked = []

        def spy(rows):
            asked.append(rows)
            return fit(rows)

        found = curve(spy, 400, teacher, start=100, draws=3, replicates=5)
        assert [len(rows) for rows in asked] == [100] * 3 + [200] * 2 + [400]
        for rows in asked:
            assert len(set(rows.tolist())) == len(rows)
            assert rows.max() < 400
        own = [kappa(teacher, fit(rows).argmax(1)) for rows in asked[:3]]
        assert found.points[0].kappa.value == pytest.approx(np.mean(own))

    def test_few_sizes_have_no_law(self):
        fit, teacher = noisy(0.9, 4.0, 0.5, held=200)
        found = curve(fit, 400, teacher, start=100, replicates=10)
        assert found.law is None
        assert not found.flat
        with pytest.raises(UndefinedError, match="4 sizes"):
            found.more_for()
        assert "too few" in str(found)

    def test_a_guess_is_called_one(self):
        law = PowerLaw(a=0.9, b=0.3, c=0.2, unit=100.0)
        point = Point(texts=400, draws=1, kappa=Interval(0.67, 0.6, 0.7, 100))
        made = LearningCurve(points=(point,), law=law, resampled=(law,), level=0.95)
        assert made.more_for(0.15) > 4 * 400
        assert "so a guess" in made.sentence(0.15)
        assert "guess" not in made.sentence(0.02)

    def test_ends_of_the_range_may_be_open(self):
        law = PowerLaw(a=0.9, b=0.3, c=0.5, unit=100.0)
        low = PowerLaw(a=0.755, b=0.3, c=2.0, unit=100.0)
        point = Point(texts=400, draws=1, kappa=Interval(0.75, 0.6, 0.8, 100))
        mixed = LearningCurve(points=(point,), law=law, resampled=(law, low), level=0.9)
        assert mixed.more_range(0.02) == (mixed.more_for(0.02), None)
        assert "to no end" in mixed.sentence()
        none = LearningCurve(points=(point,), law=low, resampled=(low, low), level=0.9)
        assert none.more_range(0.02) is None

    def test_same_seed_same_curve(self):
        fit, teacher = noisy(0.9, 4.0, 0.5, held=200)
        first = curve(fit, 800, teacher, replicates=5, seed=1)
        assert first == curve(fit, 800, teacher, replicates=5, seed=1)
        assert first != curve(fit, 800, teacher, replicates=5, seed=2)

    def test_refusals(self):
        fit, teacher = noisy(0.9, 4.0, 0.5, held=200)
        with pytest.raises(OptionError):
            curve(fit, 50, teacher)
        with pytest.raises(OptionError):
            curve(fit, 400, teacher, draws=0)
        with pytest.raises(InputError):
            curve(fit, 400, teacher[:0])
        with pytest.raises(InputError, match="the 100 held-out texts, got answers to 200"):
            curve(fit, 400, teacher[:100])
        with pytest.raises(OptionError, match="gain"):
            curve(fit, 800, teacher, replicates=3).more_for(0.0)


def test_schedule_ends_with_all():
    for n in range(100, 3000, 37):
        sizes = schedule(n)
        assert sizes[-1] == n
        assert sizes[0] == 100
        assert all(b > a for a, b in pairwise(sizes))


def test_no_law_within_the_bounds_is_nearer():
    """Beside SciPy's bounded least squares from many starts."""
    rng = np.random.default_rng(0)
    sizes = np.array([60.0, 120.0, 240.0, 480.0])
    curves = np.clip(0.8 - 0.6 * (sizes / 60) ** -0.7 + rng.normal(0, 0.1, size=(6, 4)), -1, 1)
    # One that keeps rising, one that falls, and two that are level.
    curves = np.concatenate([curves, [[-0.9, -0.3, 0.3, 0.9], [0.9, 0.5, 0.2, 0.0]]])
    curves = np.concatenate([curves, [[0.7] * 4, [1.0] * 4]])
    x = np.log(sizes / 60)
    for values, law in zip(curves, power_laws(sizes, curves), strict=True):
        assert -1 <= law.a <= 1
        assert 0 <= law.b <= 10
        assert 0.05 <= law.c <= 2
        squares = sum((law(size) - value) ** 2 for size, value in zip(sizes, values, strict=True))
        for start in product([0.5], [0.5], [0.1, 0.5, 1.9]):
            other = optimize.least_squares(
                lambda p, values=values: p[0] - p[1] * np.exp(-p[2] * x) - values,
                start,
                bounds=([-1, 0, 0.05], [1, 10, 2]),
            )
            assert squares <= 2 * other.cost + 1e-9
        assert power_law(sizes, values) == law
