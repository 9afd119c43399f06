import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted
from tests.students import worlds

from whence.core.errors import InputError, OptionError, UndefinedError
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.optimal_tree import OptimalTree
from whence.students.families.prototypes import Prototypes
from whence.students.families.rule_list import RuleList
from whence.students.families.sklearn_estimator import StudentClassifier
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures

TEXTS = worlds.texts(400)
NAMES = np.array([worlds.rule(text) for text in TEXTS])
WORDS = ReadableFeatures(longest=1)


def made(student=None, **settings):
    student = DecisionTree() if student is None else student
    return StudentClassifier(student=student, features=WORDS, **settings)


class TestAsSklearnKnowsIt:
    def test_clone_is_equal_and_unfitted(self):
        model = made(RuleList(rules=3)).fit(TEXTS, NAMES)
        again = clone(model)
        assert again.get_params() == model.get_params()
        assert not hasattr(again, "student_")
        assert again.fit(TEXTS, NAMES).student_.to_json() == model.student_.to_json()

    def test_it_is_a_classifier_and_its_folds_are_stratified(self):
        assert is_classifier(made())
        folds = StratifiedKFold(4).split(TEXTS, NAMES)
        by_hand = [
            made()
            .fit([TEXTS[i] for i in learn], NAMES[learn])
            .score([TEXTS[i] for i in held], NAMES[held])
            for learn, held in folds
        ]
        assert cross_val_score(made(), TEXTS, NAMES, cv=4).tolist() == by_hand
        assert min(by_hand) > 0.9

    @pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "roc_auc"])
    def test_scorers_take_its_probabilities(self, scoring):
        found = cross_val_score(made(SparseLinear(features=5)), TEXTS, NAMES, cv=3, scoring=scoring)
        assert np.isfinite(found).all()
        assert len(found) == 3

    def test_at_the_end_of_a_pipeline(self):
        lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
        pipeline = Pipeline([("lower", lower), ("student", made())])
        pipeline.fit([text.upper() for text in TEXTS], NAMES)
        check_is_fitted(pipeline)
        plain = made().fit(TEXTS, NAMES)
        assert pipeline.predict(TEXTS).tolist() == plain.predict(TEXTS).tolist()
        assert pipeline.classes_.tolist() == ["accept", "reject"]
        weights = np.where(NAMES == "reject", 5.0, 1.0)
        pipeline.fit(TEXTS, NAMES, student__sample_weight=weights)
        weighted = made().fit(TEXTS, NAMES, sample_weight=weights)
        found = pipeline["student"].student_.to_json()
        assert found == weighted.student_.to_json()
        assert found != plain.student_.to_json()

    def test_a_search_over_settings_inside(self):
        search = GridSearchCV(
            made(), {"student__leaves": [1, 8], "features__longest": [1, 2]}, cv=3
        )
        search.fit(TEXTS, NAMES)
        assert search.best_params_["student__leaves"] == 8
        assert len(search.cv_results_["params"]) == 4
        assert search.best_score_ > 0.9

    def test_any_student(self):
        for student in (OptimalTree(depth=2, columns=10), Prototypes(cases=4), RuleList()):
            model = made(student).fit(TEXTS, NAMES)
            assert model.predict_proba(TEXTS[:5]).shape == (5, 2)
            assert model.student_.labels == ("accept", "reject")


class TestSettings:
    def test_defaults_are_kept_as_given(self):
        model = StudentClassifier()
        assert model.get_params(deep=False) == {"student": None, "features": None, "labels": None}
        assert model.get_params()["student__features"] == SparseLinear().features
        assert repr(model) == "StudentClassifier()"

    def test_whole_settings_come_first(self):
        model = StudentClassifier().set_params(student__leaves=3, student=DecisionTree(leaves=9))
        assert model.student == DecisionTree(leaves=3)

    @pytest.mark.parametrize("name", ["leaves", "student__rules", "teacher__x"])
    def test_unknown_settings_are_refused(self, name):
        with pytest.raises(OptionError, match="there are: student, features, labels"):
            made().set_params(**{name: 1})


class TestTargets:
    def test_probabilities_are_learnt(self):
        sure = np.where(NAMES == "reject", 0.8, 0.3)
        model = made(labels=["no", "yes"]).fit(TEXTS, np.column_stack([1 - sure, sure]))
        assert model.classes_.tolist() == ["no", "yes"]
        assert model.predict_proba(TEXTS)[:, 1] == pytest.approx(sure)
        assert model.score(TEXTS, np.column_stack([1 - sure, sure])) == 1.0
        assert model.score(TEXTS, np.where(sure > 0.5, "yes", "no")) == 1.0

    def test_labels_that_are_no_strings_come_back_as_they_were(self):
        model = made().fit(TEXTS, (NAMES == "reject").astype(int))
        found = model.predict(TEXTS)
        assert found.dtype.kind == "i"
        assert model.student_.labels == ("0", "1")
        assert found.tolist() == (NAMES == "reject").astype(int).tolist()

    def test_arrays_of_texts(self):
        model = made().fit(np.array(TEXTS, dtype=object), NAMES)
        assert model.predict(np.array(TEXTS[:7])).tolist() == NAMES[:7].tolist()

    def test_a_weighted_score(self):
        model = made(DecisionTree(leaves=1)).fit(TEXTS, NAMES)
        weights = np.where(NAMES == "reject", 3.0, 1.0)
        share = (NAMES == "accept").sum() / weights.sum()
        assert model.score(TEXTS, NAMES, sample_weight=weights) == pytest.approx(share)

    @pytest.mark.parametrize(
        ("texts", "y", "error", "says"),
        [
            (
                ["a b", "b"],
                ["x"],
                InputError,
                "one label or one row of probabilities for each of 2 texts",
            ),
            (["a b", "b"], ["x", "x"], InputError, "names 1 label"),
            (["a b", "b"], [[0.5, 0.5]] * 2, OptionError, "without their names"),
            ([], [], InputError, "no texts"),
            ("ab", ["x", "y"], InputError, "one text"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, texts, y, error, says):
        with pytest.raises(error, match=says):
            StudentClassifier().fit(texts, y)

    def test_what_is_no_text_is_named(self):
        with pytest.raises(InputError, match="expected texts in X, got int at entry 1"):
            StudentClassifier().fit(np.array(["a", 3], dtype=object), ["x", "y"])

    def test_before_fitting(self):
        with pytest.raises(UndefinedError, match="call fit first"):
            made().predict(["late"])
