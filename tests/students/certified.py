"""A certificate of real numbers, made of one student and its teacher."""

from dataclasses import fields

import numpy as np
from tests.students import stored, worlds

from whence.core.statistics.proportions import proportion
from whence.students.certificate.certify import Decided, Probes, certify
from whence.students.certificate.fidelity import flips
from whence.students.data.run import Terms
from whence.students.teacher.teacher import Answers


def certified(teacher, student, **options):
    """A certificate of arrays; options are fields of what was decided, of the probes or the terms."""

    def of(kind):
        return kind(**{f.name: options.pop(f.name) for f in fields(kind) if f.name in options})

    probes, terms = of(Probes), of(Terms)
    return certify(Decided(teacher=teacher, student=student, **options), probes, terms)


def certificate(kind="rule-list", labels=2):
    student = stored.fitted(kind, labels)
    texts = worlds.texts(200, seed=11)
    values = stored.answers(texts, student.labels)
    read_to = np.array([len(text) for text in texts])
    said = Answers(labels=student.labels, gives="probability", values=values, read_to=read_to)
    top = np.full(200, int(values.mean(axis=0).argmax()))
    before, after = said.top, np.roll(said.top, 1)
    return certified(
        said,
        student.predict_proba(texts),
        controls={"majority": np.eye(labels)[top]},
        slices={"long | <texts>": np.arange(200) < 60, "rare": np.arange(200) < 5},
        flips={"drop": flips((before, after), (before, before))},
        ceiling=proportion(99, 100),
    )
