import numpy as np
import pytest
from scipy import integrate

from whence.core.errors import NewerVersionError, OptionError, RecordError
from whence.students.routing.monitor import EVERY, Monitor, MonitorState, log_wealth

RUNS = {"slow": (400, 5000), "quick": (40, 2000)}
SPEEDS = [pytest.param("slow", marks=pytest.mark.slow), "quick"]


def told(monitor, answers):
    """Updates until the alarm; how many were taken."""
    for count, same in enumerate(np.asarray(answers).tolist(), start=1):
        monitor.update(same)
        if monitor.alarm:
            return count
    return None


def delays(agreement, runs, *, before=0, good=0.0, most=3000, seed=0):
    """Audits from the fall of the agreement to the alarm, ``most`` where there is none."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        monitor = Monitor(target=0.95)
        assert told(monitor, rng.random(before) < good) is None
        found.append(told(monitor, rng.random(most) < agreement) or most)
    return np.array(found)


class TestWealth:
    @pytest.mark.parametrize(
        ("agreed", "failed", "t", "c"),
        [(0, 0, 0.5, 2.0), (20, 3, 0.9, 10.0), (5, 5, 0.95, 20.0), (100, 30, 0.9, 1.0)],
    )
    def test_is_the_mixture_that_it_says(self, agreed, failed, t, c):
        def ratio(u):
            return c * u ** (c - 1) * u**agreed * ((1 - u * t) / (1 - t)) ** failed

        by_quadrature = integrate.quad(ratio, 0, 1, epsabs=0, epsrel=1e-11)[0]
        found = log_wealth(np.array([agreed]), np.array([failed]), t, c)[0]
        assert found == pytest.approx(np.log(by_quadrature), abs=1e-9)

    @pytest.mark.parametrize("c", [1.0, 20.0])
    def test_neither_grows_nor_shrinks_on_average_at_its_own_agreement(self, c):
        """A fair game, step by step: this alone makes the false alarms rare at any time."""
        t = 0.9
        for agreed in range(0, 40, 4):
            for failed in range(0, 12, 2):
                now, won, lost = np.exp(
                    [
                        log_wealth(np.array([agreed + a]), np.array([failed + f]), t, c)[0]
                        for a, f in ((0, 0), (1, 0), (0, 1))
                    ]
                )
                assert t * won + (1 - t) * lost == pytest.approx(now)
                # At a higher agreement it shrinks.
                assert 0.95 * won + 0.05 * lost < now

    def test_rises_with_the_agreement_it_is_against(self):
        t = np.linspace(0.01, 0.999, 300)
        for agreed, failed in ((0, 1), (50, 5), (5, 50), (1000, 3)):
            wealth = [log_wealth(np.array([agreed]), np.array([failed]), x, 20.0)[0] for x in t]
            known = np.isfinite(wealth)
            # Far below the share that agreed it underflows to none, which is less still.
            assert known[-100:].all()
            assert not (np.diff(known.astype(int)) < 0).any()
            assert (np.diff(np.array(wealth)[known]) > 0).all()


class TestFalseAlarms:
    @pytest.mark.parametrize("speed", SPEEDS)
    def test_at_the_target_over_thousands_of_looks(self, speed):
        (runs, length), level = RUNS[speed], 0.9
        rng = np.random.default_rng(0)
        false = 0
        for _ in range(runs):
            false += told(Monitor(target=0.9, level=level), rng.random(length) < 0.9) is not None
        assert false / runs <= 0.1 + 3 * np.sqrt(0.09 / runs)

    def test_a_bound_for_one_look_would_be_caught(self):
        """Looking at an exact bound after each audit alarms far too often: the test can fail."""
        from whence.core.statistics.proportions import proportion

        rng = np.random.default_rng(0)
        false = 0
        for _ in range(60):
            agreed = np.cumsum(rng.random(600) < 0.9).tolist()
            looks = zip(agreed[29:], range(30, 601), strict=True)
            false += any(proportion(a, n, level=0.9).upper < 0.9 for a, n in looks)
        assert false / 60 > 0.1 + 3 * np.sqrt(0.09 / 60)

    def test_agreement_that_moves_above_the_target_raises_none(self):
        rng = np.random.default_rng(1)
        moving = 0.9 + 0.09 * np.sin(np.arange(4000) / 200) ** 2
        false = [
            told(Monitor(target=0.9), rng.random(4000) < moving) is not None for _ in range(10)
        ]
        assert sum(false) <= 2

    def test_both_bounds_hold_at_all_times_together(self):
        rng = np.random.default_rng(2)
        missed = np.zeros(2)
        for _ in range(60):
            monitor = Monitor(target=0.95, level=0.9)
            own = np.zeros(2, dtype=bool)
            for count, same in enumerate((rng.random(400) < 0.8).tolist(), start=1):
                monitor.update(same)
                if count in (10, 20, 40, 80, 160, 320, 400):
                    lower, upper = monitor.bounds
                    assert lower <= monitor.agreed / monitor.n <= upper
                    own |= [lower > 0.8, upper < 0.8]
            missed += own
        assert (missed / 60 <= 0.1 + 3 * np.sqrt(0.09 / 60)).all()


class TestDetection:
    def test_a_clear_fall_is_seen_within_a_few_hundred_audits(self):
        found = delays(0.85, 40)
        assert np.median(found) <= 90
        assert found.max() <= 400

    def test_a_small_fall_is_seen_too(self):
        assert np.median(delays(0.90, 20)) <= 350

    def test_a_long_good_past_hides_no_fall(self):
        found = delays(0.85, 15, before=3000, good=0.99)
        assert np.median(found) <= 300
        assert found.max() <= 700

    def test_without_a_test_that_begins_anew_it_would_be_hidden(self):
        """What the restarts are for: one test over all audits needs more than twice as many."""
        rng = np.random.default_rng(0)
        same = np.concatenate([rng.random(3000) < 0.99, rng.random(900) < 0.85])
        agreed = np.cumsum(same)
        count = np.arange(1, len(same) + 1)
        wealth = log_wealth(agreed, count - agreed, 0.95, 20.0)
        assert not (wealth >= np.log(20)).any()
        assert told(Monitor(target=0.95), same) is not None


class TestState:
    def test_stopped_and_resumed_it_goes_on_as_if_it_had_not(self):
        rng = np.random.default_rng(0)
        whole, parts = Monitor(target=0.9), Monitor(target=0.9)
        for same in (rng.random(400) < 0.82).tolist():
            whole.update(same)
            parts.update(same)
            parts = Monitor.of(MonitorState.from_json(parts.state.to_json()))
        assert parts.state == whole.state
        assert parts.bounds == whole.bounds
        assert whole.alarm
        assert len(whole.state.starts) == 1 + 400 // EVERY

    def test_of_no_audit_nothing_is_known(self):
        monitor = Monitor(target=0.9)
        assert monitor.bounds == (pytest.approx(0.0), pytest.approx(1.0))
        assert not monitor.alarm

    def test_alarm_is_when_the_upper_bound_passes_the_target_and_stays(self):
        monitor = Monitor(target=0.9)
        answers = ([True] * 8 + [False] * 2) * 40
        for same in answers:
            monitor.update(same)
            if not same and not monitor.alarm:
                assert monitor.bounds[1] >= 0.9 - 1e-9
        assert monitor.alarmed_at < len(answers)
        at = Monitor(target=0.9)
        told(at, answers)
        assert at.n == monitor.alarmed_at
        assert at.bounds[1] < 0.9
        for _ in range(3000):
            monitor.update(True)
        assert monitor.alarm
        assert f"alarm at audit {monitor.alarmed_at}" in str(monitor)

    def test_all_agreements_give_a_high_lower_bound(self):
        monitor = Monitor(target=0.9)
        for _ in range(500):
            monitor.update(True)
        lower, upper = monitor.bounds
        # At one look the exact bound would be .05 ** (1 / 500) = .994.
        assert 0.98 < lower < 0.994
        assert upper == pytest.approx(1.0)

    @pytest.mark.parametrize(
        "change",
        [
            {"n": -1},
            {"agreed": 200},
            {"starts": []},
            {"starts": [[0, 0], [50, 60], [100, 80]]},
            {"alarmed_at": 1000},
            {"schema_version": None},
            {"target": "high"},
        ],
        ids=str,
    )
    def test_damaged_state_is_refused(self, change):
        monitor = Monitor(target=0.9)
        for k in range(120):
            monitor.update(k % 3 > 0)
        with pytest.raises(RecordError):
            MonitorState.from_json({**monitor.state.to_tree(), **change})

    def test_a_newer_state_is_refused_by_name(self):
        with pytest.raises(NewerVersionError, match="schema version 9"):
            MonitorState.from_json({**Monitor(target=0.9).state.to_tree(), "schema_version": 9})

    def test_shares_out_of_range_are_refused(self):
        for options in ({"target": 1.0}, {"target": 0.9, "level": 0.3}):
            with pytest.raises(OptionError, match="a target between 0 and 1"):
                Monitor(**options)
