"""The game: memory, budget, batches, cache, counting, stopping."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
from tests.fakes import FakeModel, encoding_of, readout, tokens_of

from whence.core import (
    BudgetError,
    CapabilityError,
    InputError,
    Interrupted,
    ModelOutputError,
    OptionError,
    RecordError,
    WriteError,
)
from whence.games import (
    AttentionMask,
    Deletion,
    DiskCache,
    EmbeddingGame,
    FunctionGame,
    MaskToken,
    MemoryCache,
    Pad,
    Replacement,
    TextGame,
    TokenGame,
    Words,
    align,
    default_masker,
    masker_by_name,
)
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import Encoding

TEXT = "one two three four five"


def game_of(model=None, masker=None, **settings):
    model = model or FakeModel()
    encoding = encoding_of(TEXT)
    return TokenGame(
        model, encoding, readout(), tokens_of(encoding), masker or MaskToken(), **settings
    )


def coalitions(*rows):
    return np.array([[c == "1" for c in row] for row in rows])


class TestGame:
    def test_equal_coalitions_are_asked_once(self):
        asked = []

        def function(rows):
            asked.append(len(rows))
            return rows.sum(axis=1)

        game = FunctionGame(3, function)
        values = game(coalitions("110", "110", "001"))
        assert values[:, 0].tolist() == [2.0, 2.0, 1.0]
        game(coalitions("110", "111"))
        assert asked == [2, 1]
        assert game.evaluations == 3
        assert game.known(coalitions("110", "000")).tolist() == [True, False]
        assert game.cost.evaluations == 3

    def test_ends_and_no_coalitions(self):
        game = FunctionGame(2, lambda rows: np.stack([rows[:, 0], rows[:, 1]], 1), names=["a", "b"])
        assert game.full().tolist() == [1.0, 1.0]
        assert game.empty().tolist() == [0.0, 0.0]
        assert game(np.zeros((0, 2), dtype=bool)).shape == (0, 2)
        assert game.k == 2

    def test_the_budget_is_held_before_anything_is_asked(self):
        game = FunctionGame(3, lambda rows: rows.sum(axis=1), budget=2)
        with pytest.raises(BudgetError, match="3 evaluations asked, 2 of 2 left") as error:
            game(coalitions("100", "010", "001"))
        assert error.value.needed == 3
        assert game.evaluations == 0
        game(coalitions("100", "010"))
        game(coalitions("100"))
        assert game.remaining == 0
        with pytest.raises(OptionError, match="1 evaluation or more"):
            FunctionGame(3, lambda rows: rows.sum(axis=1), budget=0)

    def test_no_limit(self):
        assert FunctionGame(1, lambda rows: rows.sum(axis=1)).remaining is None

    @pytest.mark.parametrize("bad", [np.zeros((2, 3), bool), np.zeros((2, 2)), np.zeros(2, bool)])
    def test_coalitions_of_another_form_are_refused(self, bad):
        game = FunctionGame(2, lambda rows: rows.sum(axis=1))
        with pytest.raises(Exception, match=r"coalitions|violates type hint"):
            game(bad)

    def test_values_must_be_finite(self):
        game = FunctionGame(1, lambda rows: np.full(len(rows), np.nan))
        with pytest.raises(ModelOutputError, match="finite"):
            game.full()


class TestTokenGame:
    def test_rows_that_read_alike_are_run_once(self):
        model = FakeModel()
        # Replacement by the very token that stands there changes nothing.
        encoding = Encoding(
            document=encoding_of("a b").document,
            ids=np.array([4, 4]),
            offsets=np.array([[0, 1], [2, 3]]),
            frozen=np.zeros(2, bool),
        )
        game = TokenGame(model, encoding, readout(), tokens_of(encoding), MaskToken())
        values = game(coalitions("11", "10", "01", "00"))
        assert np.ptp(values) == 0
        assert game.cost.evaluations == 4
        assert game.cost.distinct_evaluations == 1
        assert game.cost.tokens == 2

    def test_batches_are_sorted_and_fill_the_token_budget(self):
        model = FakeModel()
        game = game_of(model, Deletion(), token_budget=14)
        game(coalitions("11111", "10000", "11000", "00000", "01111"))
        assert model.batches == [[7, 6], [4, 3, 2]]

    def test_batches_halve_when_memory_runs_out(self):
        model = FakeModel(most_rows=2)
        progress = []
        game = game_of(model, token_budget=7 * 8, progress=lambda *event: progress.append(event))
        game(np.eye(5, dtype=bool))
        assert [len(batch) for batch in model.batches] == [2, 2, 1]
        assert progress[-1] == ("evaluations", 5, 5)
        with pytest.raises(MemoryError):
            game_of(FakeModel(most_rows=0)).full()

    def test_the_cache_is_shared_and_told_apart(self):
        cache = MemoryCache()
        first = game_of(cache=cache)
        values = first(np.eye(5, dtype=bool))
        second = game_of(cache=cache)
        assert np.array_equal(second(np.eye(5, dtype=bool)), values)
        assert second.cost.evaluations == 5
        # One kept answer is asked again before any is used.
        assert second.cost.distinct_evaluations == 1
        third = game_of(masker=Pad(), cache=cache)
        third.empty()
        assert third.cost.distinct_evaluations == 1

    def test_stopping_keeps_what_was_computed(self):
        model = FakeModel()
        calls = []

        def after():
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt

        model.after = after
        cache = MemoryCache()
        game = game_of(model, cache=cache, token_budget=7)
        with pytest.raises(Interrupted, match="stopped after 2 of 5") as stopped:
            game(np.eye(5, dtype=bool))
        assert stopped.value.evaluations == 2
        assert len(cache) == 2
        model.after = None
        again = game_of(model, cache=cache)
        again(np.eye(5, dtype=bool))
        assert again.cost.distinct_evaluations == 3 + 1

    def test_a_token_budget_is_positive(self):
        with pytest.raises(OptionError, match="token_budget"):
            game_of(token_budget=0)


class TestTextGame:
    def game(self, masker, text=TEXT, **settings):
        asked = []

        def function(texts):
            asked.extend(texts)
            return [float(len(t)) for t in texts]

        model = CallableModel(function)
        document = model.encode_text(text)
        found = model.readout_text(document, ())
        asked.clear()
        segmentation = Words().segment(document)
        return TextGame(model, document, segmentation, found, masker, **settings), asked

    def test_deletion_takes_the_space_before(self):
        game, asked = self.game(Deletion())
        game(coalitions("11111", "10111", "00000", "01111"))
        assert sorted(asked) == sorted([TEXT, "one three four five", "", " two three four five"])

    def test_replacement(self):
        game, asked = self.game(Replacement(text="_"))
        game(coalitions("10111"))
        assert asked == ["one _ three four five"]

    def test_batches(self):
        game, _ = self.game(Deletion(), batch=2)
        assert game(np.eye(5, dtype=bool)).shape == (5, 1)

    @pytest.mark.parametrize("masker", [MaskToken(), AttentionMask(), Pad()])
    def test_maskers_of_tokens_are_refused(self, masker):
        with pytest.raises(CapabilityError, match="deletion, replacement"):
            self.game(masker)


class TestMaskers:
    def test_missing_special_tokens_are_refused_and_none_is_added(self):
        bare = FakeModel(mask_id=None, pad_id=None, bos_id=None)
        for masker in (MaskToken(), Pad()):
            with pytest.raises(CapabilityError, match="deletion, attention-mask, replacement"):
                game_of(bare, masker)
        with pytest.raises(CapabilityError, match="mask-token"):
            game_of(FakeModel(pad_id=None), Pad())
        with pytest.raises(CapabilityError, match="pad"):
            game_of(FakeModel(mask_id=None), MaskToken())

    def _unframed(self, model):
        encoding = encoding_of(TEXT, frozen_ends=False)
        encoding = Encoding(encoding.document, encoding.ids, encoding.offsets, encoding.frozen)
        return encoding, tokens_of(encoding), model

    def test_each_absent_token_gets_a_mask_of_its_own(self):
        encoding = encoding_of(TEXT)
        model = FakeModel()
        row = MaskToken().bind(model, encoding, tokens_of(encoding))(coalitions("10011"))[0]
        mask = model.vocabulary.mask_id
        assert row.ids.tolist() == [2, 10, mask, mask, 13, 14, 3]

    def test_deletion_of_everything_leaves_the_start_token(self):
        encoding, tokens, model = self._unframed(FakeModel())
        rows = Deletion().bind(model, encoding, tokens)(coalitions("00000", "00001"))
        assert rows[0].ids.tolist() == [2]
        assert rows[1].ids.tolist() == [14]
        assert rows[1].token_types is None

    def test_deletion_of_everything_without_a_start_token_is_refused(self):
        encoding, tokens, model = self._unframed(FakeModel(bos_id=None))
        with pytest.raises(CapabilityError, match="nothing to read"):
            Deletion().bind(model, encoding, tokens)
        masker, why = default_masker(model, tokens)
        assert isinstance(masker, MaskToken)
        assert why
        model.task = "causal"
        masker, why = default_masker(model, tokens)
        assert isinstance(masker, Replacement)
        assert "nothing to read" in why
        rows = masker.bind(model, encoding, tokens)(coalitions("00000", "11011"))
        assert rows[0].ids.tolist() == [7] * 5
        assert rows[1].ids.tolist() == [10, 11, 7, 13, 14]

    def test_attention_mask_and_replacement_rows(self):
        encoding = encoding_of(TEXT)
        tokens = tokens_of(encoding)
        row = AttentionMask().bind(FakeModel(), encoding, tokens)(coalitions("10111"))[0]
        assert row.attention.tolist() == [True, True, False, True, True, True, True]
        row = Replacement(text="x y").bind(FakeModel(), encoding, tokens)(coalitions("10011"))[0]
        assert row.ids.tolist() == [2, 10, 7, 7, 7, 7, 13, 14, 3]
        assert len(row.token_types) == 9
        with pytest.raises(OptionError, match="text with a token"):
            Replacement(text=" ").bind(FakeModel(), encoding, tokens)

    def test_row_keys_tell_apart_what_reads_apart(self):
        encoding = encoding_of(TEXT)
        tokens = tokens_of(encoding)
        keys = set()
        for masker in (MaskToken(), Deletion(), AttentionMask(), Pad(), Replacement()):
            rows = masker.bind(FakeModel(), encoding, tokens)(coalitions("11111", "10111"))
            keys |= {row.key() for row in rows}
        assert len(keys) == 6

    def test_by_name_and_default(self):
        assert masker_by_name("mask_token") == MaskToken()
        assert masker_by_name(Pad()) == Pad()
        with pytest.raises(OptionError, match="did you mean 'deletion'"):
            masker_by_name("deletoin")
        model = FakeModel()
        assert default_masker(model)[0] == MaskToken()
        model.task = "causal"
        assert default_masker(model)[0] == Deletion()
        assert default_masker(CallableModel(len))[0] == Deletion()


class TestAlign:
    def encoding(self, text, offsets, frozen=None):
        size = len(offsets)
        return Encoding(
            document=encoding_of(text).document,
            ids=np.arange(10, 10 + size),
            offsets=np.array(offsets).reshape(-1, 2),
            frozen=np.zeros(size, bool) if frozen is None else np.array(frozen, bool),
        )

    def aligned(self, text, offsets, frozen=None):
        encoding = self.encoding(text, offsets, frozen)
        return align(Words().segment(encoding.document), encoding)

    def test_features_that_share_a_token_are_one(self):
        segmentation, tokens = self.aligned("ab cd, ef", [(0, 2), (3, 6), (7, 9)])
        assert [f.text for f in segmentation.features] == ["ab", "cd,", "ef"]
        assert [g.tolist() for g in tokens.groups] == [[0], [1], [2]]
        segmentation, tokens = self.aligned("a b c", [(0, 5)])
        assert [f.text for f in segmentation.features] == ["a b c"]

    def test_tokens_of_white_space_go_with_the_next_feature_else_the_last(self):
        _, tokens = self.aligned("ab cd ", [(0, 2), (2, 3), (3, 5), (5, 6)])
        assert [g.tolist() for g in tokens.groups] == [[0], [1, 2, 3]]
        assert tokens.owner.tolist() == [0, 1, 1, 1]

    def test_several_tokens_of_one_character_go_together(self):
        _, tokens = self.aligned("\U0001f44d ok", [(0, 1), (0, 1), (1, 1), (2, 4)])
        assert [g.tolist() for g in tokens.groups] == [[0, 1], [2, 3]]

    def test_features_without_a_token_are_unread(self):
        segmentation, tokens = self.aligned("ab \x07 cd", [(0, 2), (5, 7)])
        assert [(s.start, s.end) for s in segmentation.unread] == [(3, 4)]
        assert len(tokens.groups) == 2

    def test_frozen_tokens_stay_out(self):
        segmentation, tokens = self.aligned("ab cd", [(0, 2), (2, 3), (3, 5)], [True, False, False])
        assert [f.text for f in segmentation.features] == ["cd"]
        assert tokens.owner.tolist() == [-1, 0, 0]
        _, tokens = self.aligned("ab cd", [(0, 2), (2, 3), (3, 5)], [False, False, True])
        assert tokens.owner.tolist() == [0, 0, -1]

    def test_nothing_left_is_refused(self):
        with pytest.raises(InputError, match="only special tokens"):
            self.aligned("ab", [(0, 2)], [True])

    def test_tokens_outside_the_callers_spans_stay(self):
        from whence.games import Spans

        encoding = self.encoding("ab cd ef", [(0, 2), (2, 3), (3, 5), (6, 8)])
        raw = Spans(spans=((6, 8),)).segment(encoding.document)
        _, tokens = align(raw, encoding)
        assert tokens.owner.tolist() == [-1, -1, -1, 0]
        assert tokens.present(np.array([False])).tolist() == [True, True, True, False]

    def test_spaces_do_not_cross_parts(self):
        from whence.core import Document

        document = Document.join({"first": "ab ", "second": "cd"})
        encoding = Encoding(
            document=document,
            ids=np.arange(3),
            offsets=np.array([(0, 2), (2, 3), (4, 6)]),
            frozen=np.zeros(3, bool),
        )
        _, tokens = align(Words().segment(document), encoding)
        assert tokens.owner.tolist() == [0, 0, 1]
        encoding = Encoding(
            document=document,
            ids=np.arange(2),
            offsets=np.array([(3, 4), (4, 6)]),
            frozen=np.zeros(2, bool),
        )
        _, tokens = align(Words().segment(document), encoding)
        assert tokens.owner.tolist() == [-1, 0]


class TestCaches:
    def test_memory_forgets_what_was_used_longest_ago(self):
        cache = MemoryCache(most=2)
        cache.put([b"a", b"b"], [np.ones(1), np.ones(1)])
        cache.get([b"a"])
        cache.put([b"c"], [np.ones(1)])
        assert [v is not None for v in cache.get([b"a", b"b", b"c"])] == [True, False, True]
        with pytest.raises(OptionError, match="got most=0"):
            MemoryCache(most=0)

    def test_disk_keeps_bits_between_runs(self, tmp_path):
        path = tmp_path / "cache.sqlite"
        value = np.array([0.1, -0.0, np.nan, 1e-310])
        with DiskCache(path) as cache:
            cache.put([b"k"], [value])
            assert len(cache) == 1
        with DiskCache(path) as cache:
            found = cache.get([b"k", b"other"])
        assert found[0].tobytes() == value.tobytes()
        assert found[1] is None

    def test_a_game_on_disk_goes_on(self, tmp_path):
        with DiskCache(tmp_path / "c.sqlite") as cache:
            values = game_of(cache=cache)(np.eye(5, dtype=bool))
        with DiskCache(tmp_path / "c.sqlite") as cache:
            game = game_of(cache=cache)
            assert np.array_equal(game(np.eye(5, dtype=bool)), values)
            assert game.cost.distinct_evaluations == 1

    def test_what_is_no_cache_is_refused(self, tmp_path):
        with pytest.raises(WriteError, match="folder"):
            DiskCache(tmp_path / "nowhere" / "c.sqlite")
        text = tmp_path / "text.sqlite"
        text.write_text("this is no database at all, but it is long enough to be looked at")
        with pytest.raises(RecordError, match="no SQLite"):
            DiskCache(text)
        other = tmp_path / "other.sqlite"
        connection = sqlite3.connect(other)
        connection.execute("CREATE TABLE t (x)")
        connection.close()
        with pytest.raises(RecordError, match="no cache of whence"):
            DiskCache(other)
        newer = tmp_path / "newer.sqlite"
        connection = sqlite3.connect(newer)
        connection.execute("PRAGMA user_version = 7")
        connection.close()
        with pytest.raises(RecordError, match="version 7"):
            DiskCache(newer)

    def test_a_full_disk_keeps_what_was_there(self, tmp_path):
        cache = DiskCache(tmp_path / "c.sqlite")
        cache.put([b"k"], [np.ones(1)])
        cache._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(WriteError, match="full"):
            cache.put([bytes([i]) * 32 for i in range(250)], [np.ones(64)] * 250)
        assert len(cache) == 1
        cache.close()


class TestEmbedded:
    def game(self, model=None, **settings):
        encoding = encoding_of(TEXT)
        return EmbeddingGame(
            model or FakeModel(), encoding, readout(), tokens_of(encoding), **settings
        )

    def test_baselines_move_features_only(self):
        model = FakeModel()
        game = self.game(model)
        point = game.point()
        for name, row in (
            ("zero", np.zeros(4)),
            ("mean", model.table.mean(axis=0)),
            ("mask", model.table[4]),
            ("pad", model.table[0]),
            ("bos", model.table[2]),
            ("unknown", model.table[1]),
        ):
            base = game.baseline(name)
            assert np.array_equal(base[[0, -1]], point[[0, -1]])
            assert np.allclose(base[1:-1], row)

    def test_missing_baselines_are_named(self):
        with pytest.raises(CapabilityError, match="mean, zero, pad"):
            self.game(FakeModel(mask_id=None)).baseline("mask")
        with pytest.raises(Exception, match=r"did you mean 'mean'|violates type hint"):
            self.game().baseline("meen")

    def test_batches_counts_and_budget(self):
        model = FakeModel(most_rows=2)
        game = self.game(model, budget=5, token_budget=40)
        points = np.stack([game.point()] * 5)
        values, slopes = game.at(points)
        assert values.shape == (5, 1)
        assert slopes.shape == (5, 1, 7, 4)
        assert [len(b) for b in model.batches] == [2, 2, 1]
        assert game.remaining == 0
        assert game.cost.gradient_evaluations == 5
        assert game.cost.tokens == 35
        with pytest.raises(BudgetError, match="1 passes asked, 0 of 5 left"):
            game.at(points[:1])
        with pytest.raises(MemoryError):
            self.game(FakeModel(most_rows=0)).at(points[:1])
        assert self.game().remaining is None

    def test_features_are_sums_of_tokens(self):
        game = self.game()
        assert game.n == 5
        assert game.k == 1
        assert len(game.outputs) == 1
        per_token = np.arange(7.0)[:, None]
        assert game.gather(per_token)[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]

    def test_models_without_gradients_are_refused(self):
        encoding = encoding_of(TEXT)
        with pytest.raises(Exception, match=r"no gradients|violates type hint"):
            EmbeddingGame(CallableModel(len), encoding, readout(), tokens_of(encoding))
        full = FakeModel()
        names = (
            "identity",
            "task",
            "labels",
            "vocabulary",
            "encode",
            "tokenize",
            "decode",
            "decide",
            "readout",
            "evaluate",
        )
        bare = SimpleNamespace(**{name: getattr(full, name) for name in names})
        with pytest.raises(CapabilityError, match="no gradients"):
            EmbeddingGame(bare, encoding, readout(), tokens_of(encoding))


def test_only_special_tokens_are_nothing_to_explain():
    from tests.zoo.tokenizers import wordpiece

    from whence.models.encoding import Encoder

    encoding = Encoder(wordpiece(), ref="t", limit=None).encode("[CLS] [SEP]")
    with pytest.raises(InputError, match="only special tokens"):
        align(Words().segment(encoding.document), encoding)
