"""Sentences of clinics, courts and banks, where a dot is often no end."""

from __future__ import annotations

import pytest

from whence.games.segmenters.boundaries import sentence_spans

# Pieces of a text, joined by the character that stands between them.
TEXTS = [
    [
        "Pt. was given 0.5 mg i.v. b.i.d. by Dr. Smith at 3 p.m.",
        "No fever.",
        "Temp. 38.2 C.",
        "See Sec. 4.2(a).",
        "The Borrower shall pay No. 5 of Sched. II.",
    ],
    ["U.S. Bank lent the money."],
    ["He lives in the U.S.", "He is a nurse."],
    ["| a | b |", "|---|---|", "| 1 | 2 |", "After it."],
    ["1. The Borrower shall pay.", "2. The Lender may wait."],
    ["Any fever?", "No.", "He denies it."],
    ['"Really?" he asked.', 'She said "No."', "Then she left."],
    ["He waited... until it stopped.", "Then he left."],
    ["Roe v. Wade was decided in 1973.", "It is law."],
    ["J. Smith signed.", "Mr. A. B. Jones did not."],
    ["She paid Acme Inc.", "The rest is owed to Foo Corp. Holdings."],
    ["Seen at 3 p.m. Monday by the nurse."],
    ["approx. 5 mg, i.e. little, e.g. none.", "Next."],
    ["she missed 3 payments.", "no savings."],
    ["BP 120/80.", "HR 72.", "Resp. 16.", "Sat. 98 %."],
    ["See Fig. 3 and pp. 4-5 (cf. Art. 7).", "Done."],
    ["- one item", "- another item"],
    ["Take 1 tab. p.o. q.d.", "Follow up in 2 wks.", "Call if worse."],
    ["Value is 3.5.", "It rose."],
    ["I gave it to vitamin C.", "It helped."],
    ["Ph.D. students vs. M.D. staff."],
]


@pytest.mark.parametrize("pieces", TEXTS)
@pytest.mark.parametrize("between", [" ", "\n"])
def test_sentences(pieces, between):
    # Rows of a table and items of a list stand in lines of their own.
    text = ("\n" if pieces[0][0] in "|-" else between).join(pieces)
    assert [text[a:b] for a, b in sentence_spans(text, 0, len(text))] == pieces


def test_abbreviations_of_a_house_are_given():
    text = "Seen in Endo. Clinic today. Well."
    pieces = [text[a:b] for a, b in sentence_spans(text, 0, len(text), ("Endo",))]
    assert pieces == ["Seen in Endo. Clinic today.", "Well."]
    assert len(sentence_spans(text, 0, len(text))) == 3
