"""The views of every value that can be displayed: as text, as an HTML element, as a page.

A value of another class is displayed by entering a function in one of the tables of
:mod:`whence.core.display`, here or in a package of your own.
"""

from whence.app.attention import html as attention_html
from whence.app.attention import terminal as attention_terminal
from whence.app.decisions import html as decision_html
from whence.app.decisions import terminal as decision_terminal
from whence.app.distill import html as distill_html
from whence.app.distill import terminal as distill_terminal
from whence.app.explanation import html as explanation_html
from whence.app.explanation import terminal as explanation_terminal
from whence.app.specification import html as specification_html
from whence.app.specification import terminal as specification_terminal
from whence.app.trust import html as trust_html
from whence.app.trust import measurements_html, measurements_terminal
from whence.app.trust import terminal as trust_terminal
from whence.attention.store import Attention
from whence.core.display import FRAGMENT, PAGE, TEXT
from whence.core.explanations import Attribution
from whence.core.label_diff import LabelDiff
from whence.core.other_explanations import Counterfactual, Interactions, Rule
from whence.core.selection import Selection
from whence.core.specification_curve import SpecificationCurve
from whence.core.trust import TrustLabel
from whence.students.result import Distilled
from whence.workflows.select import Comparison

__all__: list[str] = []

TEXT.register(Attribution, explanation_terminal.plain_text)
FRAGMENT.register(Attribution, explanation_html.fragment)
PAGE.register(Attribution, explanation_html.page)

TEXT.register(Attention, attention_terminal.plain_text)
FRAGMENT.register(Attention, attention_html.fragment)
PAGE.register(Attention, attention_html.page)

TEXT.register(TrustLabel, trust_terminal.plain_text)
FRAGMENT.register(TrustLabel, trust_html.fragment)
TEXT.register(LabelDiff, trust_terminal.diff_text)

TEXT.register(Comparison, measurements_terminal.comparison_text)
FRAGMENT.register(Comparison, measurements_html.comparison_fragment)
TEXT.register(Selection, measurements_terminal.selection_text)
FRAGMENT.register(Selection, measurements_html.selection_fragment)
TEXT.register(SpecificationCurve, specification_terminal.plain_text)
FRAGMENT.register(SpecificationCurve, specification_html.fragment)
PAGE.register(SpecificationCurve, specification_html.page)

TEXT.register(Distilled, distill_terminal.plain_text)
FRAGMENT.register(Distilled, distill_html.fragment)
PAGE.register(Distilled, distill_html.page)

for record in (Counterfactual, Interactions, Rule):
    TEXT.register(record, decision_terminal.plain_text)
    FRAGMENT.register(record, decision_html.fragment)
    PAGE.register(record, decision_html.page)
