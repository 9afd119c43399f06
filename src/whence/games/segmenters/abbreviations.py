"""Abbreviations whose dot need not end a sentence, by what follows them.

General, clinical, legal and financial ones together: a note cites a statute, and a contract a dose. Single
capitals and dotted capitals (J., U.S., Ph.D.) need no entry.
"""

from __future__ import annotations

__all__ = ["BEFORE_NUMBER", "MAY_END", "MAY_END_BEFORE_STARTER", "NEVER_END", "STARTERS", "TIMES"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_END = _words(
    "Mr Mrs Ms Mx Dr Drs Prof Hon Rev Messrs Gen Col Capt Lt Sgt Gov Sen Rep Pres "
    "e.g i.e vs v cf viz approx resp incl excl bzw z.B d.h u.a ca esp "
    "Pt Pts pt pts Rx Dx Hx Tx Sx Fx yo y.o w c.f "
    "Plf Def Resp Pet Appellee Atty J.J"
)
"""Their sentence goes on whatever follows: titles, and words that join."""

BEFORE_NUMBER = _words(
    "No Nos Nr Art Arts Sec Secs Sect Fig Figs Tab Eq Ch Chap Vol Ed Ex Exh Par Para Cl Sch Sched App Ann Amt "
    "Reg Regs Temp temp Wt wt Ht ht Resp BP HR RR Sat p pp n nn l ll col cols s ss r rr art sec fig para cl no nos "
    "Acct acct Inv Ref ref Tel tel ext max min"
)
"""They name what is numbered: their sentence goes on where a number, a letter or a bracket follows."""

MAY_END = _words(
    "etc a.m p.m A.M P.M am pm b.i.d t.i.d q.i.d q.d q.h q.o.d p.o p.r.n i.v i.m s.c h.s a.c p.c n.p.o stat "
    "mg mcg ml kg cm mm hr hrs min mins sec yr yrs wk wks mo mos lb lbs oz tab tabs cap caps b.d o.d "
    "p.a p.m.a"
)
"""They end a sentence where the next word begins with a capital."""

MAY_END_BEFORE_STARTER = _words(
    "Inc Ltd Co Corp LLC LLP PLC plc GmbH Bros Cos Jr Sr Esq St Ave Blvd Rd al Univ Dept Dist Ct Cir Supp "
    "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun"
)
"""Names go on with capitals too: they end a sentence before a word that begins sentences alone."""

STARTERS = _words(
    "The A An He She It They We You I This That These Those There Here His Her Its Their Our My In On At By "
    "For From With Without To Of As If When While After Before Since Because Although But And Or So Yet "
    "However Therefore Thus Moreover No Not All Any Each Both Patient Pt Denies Reports Continue Start Stop "
    "Follow Will Is Are Was Were Has Had Have Do Does Did Please See Such Under Upon What Who Which Where Why How"
)
"""Words that begin sentences, and seldom names."""

TIMES = _words(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August "
    "September October November December EST EDT CST CDT MST PST PDT GMT UTC CET CEST BST"
)
"""Days, months and time zones go on a time of the day: 3 p.m. Monday."""
