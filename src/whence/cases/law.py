"""Contract clauses, read for the customer: ``unfavourable`` or ``acceptable``?

The rule. Findings for unfavourable (+1): the customer's liability is unlimited, the contract renews
by itself, foreign courts are exclusive, the supplier may change prices alone, notice of termination
is under 30 days, late interest is above 8 %. Findings against it (-1): the customer may leave at
any time, the customer is refunded in full.

A finding asserted of this agreement counts 2, one that is only contemplated (hedged) 1; one that is
excluded, that belongs to another party's agreement, or an amount within its limit counts 0. The
clauses are unfavourable when the sum of ``sign * count`` is 2 or more. This is a toy rule for
explaining models, not legal advice.
"""

from whence.cases.shared import Domain, Finding

# Amounts are told in the same words on both sides of a limit, so that the number alone decides.
_NOTICE = (
    "{them} may terminate this agreement on [{v} days' notice]",
    "[the notice period is {v} days] where the trade expects 30",
    "either party ends the contract by [giving {v} days' written notice]",
    "[termination takes effect {v} days] after a letter is received",
)
_INTEREST = (
    "late sums bear [interest at {v} % a year]",
    "[default interest is {v} %] against a customary 8 %",
    "{us} pays [{v} % interest on overdue invoices]",
    "an invoice that is not paid in time [accrues {v} % a year]",
)

DOMAIN = Domain(
    name="law",
    labels=("acceptable", "unfavourable"),
    numbered=True,
    findings=(
        Finding(
            name="unlimited_liability",
            sign=1,
            reason="unlimited liability",
            frames={
                "asserted": (
                    "[the liability of {us} is unlimited]",
                    "[{us} is liable without limit]",
                    "[no cap applies to the liability of {us}]",
                    "[{us} bears unlimited liability] for any loss",
                ),
                "negated": (
                    "[the liability of {us} is not unlimited]",
                    "[{us} is never liable without limit]",
                    "[a cap applies to the liability of {us}], namely the yearly fee",
                    "[{us} bears no unlimited liability] for any loss",
                ),
                "other_person": (
                    "[the liability of {third} is unlimited] under its own contract",
                    "[{third}, a stranger to this agreement, is liable without limit]",
                    "in the lease with {third}, [that tenant bears unlimited liability]",
                ),
                "hedged": (
                    "[the liability of {us} might become unlimited] if the parties so agree",
                    "[it is open whether {us} is liable without limit]",
                ),
            },
        ),
        Finding(
            name="auto_renewal",
            sign=1,
            reason="automatic renewal",
            frames={
                "asserted": (
                    "[this agreement renews automatically] each {month}",
                    "[the term is extended by itself] for {few} years",
                    "[without a further act the contract is renewed] every year",
                ),
                "negated": (
                    "[this agreement does not renew automatically]",
                    "[the term is never extended by itself]",
                    "[automatic renewal is excluded]",
                ),
                "other_person": (
                    "[the contract between {third} and its staff renews automatically]",
                    "[{third}'s agreement is extended by itself] each {month}",
                ),
                "hedged": (
                    "[this agreement may perhaps renew automatically], subject to later terms",
                    "[the parties will discuss whether the term is extended by itself]",
                ),
            },
        ),
        Finding(
            name="foreign_courts",
            sign=1,
            reason="foreign courts",
            frames={
                "asserted": (
                    "[foreign courts have exclusive jurisdiction]",
                    "[disputes are heard only by courts abroad]",
                    "[{us} must sue {them} in a court overseas]",
                ),
                "negated": (
                    "[foreign courts have no jurisdiction]",
                    "[disputes are not heard by courts abroad]",
                    "[{us} need never sue {them} in a court overseas]",
                ),
                "other_person": (
                    "[disputes between {third} and its bank are heard only by courts abroad]",
                    "[for {third} foreign courts have exclusive jurisdiction]",
                ),
                "hedged": (
                    "[foreign courts might have jurisdiction], which is left open",
                    "[it is uncertain whether disputes are heard by courts abroad]",
                ),
            },
        ),
        Finding(
            name="price_change",
            sign=1,
            reason="one-sided price changes",
            frames={
                "asserted": (
                    "[{them} may raise prices without consent]",
                    "[prices change at the sole choice of {them}]",
                    "[{them} is free to alter the fees alone]",
                ),
                "negated": (
                    "[{them} may not raise prices without consent]",
                    "[prices never change at the sole choice of {them}]",
                    "[{them} is not free to alter the fees alone]",
                ),
                "other_person": (
                    "[{third} may raise prices without consent] towards its own buyers",
                    "[{third} is free to alter its fees alone], which concerns nobody here",
                ),
                "hedged": (
                    "[{them} might later ask to raise prices without consent]",
                    "[whether {them} is free to alter the fees alone is to be settled]",
                ),
            },
        ),
        Finding(
            name="short_notice",
            sign=1,
            reason="notice under 30 days",
            reason_within="notice of 30 days or more",
            beyond=(3, 29),
            within=(30, 90),
            frames={
                "asserted": _NOTICE,
                "within_limit": _NOTICE,
                "other_person": (
                    "[{third} gives its own customers {v} days' notice]",
                    "[in the contract of {third} the notice period is {v} days]",
                ),
                "hedged": (
                    "[a notice period of {v} days is under discussion]",
                    "[the notice period might be {v} days], to be confirmed",
                ),
            },
        ),
        Finding(
            name="late_interest",
            sign=1,
            reason="interest above 8",
            reason_within="interest not above 8",
            beyond=(9, 24),
            within=(1, 8),
            margin=3,
            frames={
                "asserted": _INTEREST,
                "within_limit": _INTEREST,
                "other_person": (
                    "[{third} charges its own debtors {v} % interest]",
                    "[a loan of {third} bears interest at {v} % a year]",
                ),
            },
        ),
        Finding(
            name="free_exit",
            sign=-1,
            reason="free exit",
            frames={
                "asserted": (
                    "[{us} may leave at any time without charge]",
                    "[{us} is free to cancel whenever it wishes]",
                ),
                "negated": (
                    "[{us} may not leave before the end of the term]",
                    "[{us} is not free to cancel]",
                ),
                "other_person": (
                    "[customers of {third} may leave at any time without charge]",
                    "[{third} is free to cancel its own lease whenever it wishes]",
                ),
                "hedged": (
                    "[{us} might be allowed to leave at any time], if a later annex says so",
                    "[it is undecided whether {us} is free to cancel]",
                ),
            },
        ),
        Finding(
            name="refund",
            sign=-1,
            reason="full refund",
            frames={
                "asserted": (
                    "[{them} refunds all fees in full] on request",
                    "[{us} receives a full refund] if dissatisfied",
                ),
                "negated": (
                    "[{them} refunds no fees]",
                    "[{us} does not receive a full refund]",
                ),
                "other_person": (
                    "[{third} refunds its own buyers in full]",
                    "[buyers at {third} receive a full refund]",
                ),
                "hedged": (
                    "[{them} may consider a full refund] in rare cases",
                    "[a full refund is possible], though not promised",
                ),
            },
        ),
    ),
    openings=(
        "Agreement of {day} {month} {year} between {firm} ({us}) and {partner} ({them}) for {goods}.",
        "Extract from the terms for {goods} between {firm}, {us}, and {partner}, {them}.",
        "{firm}, called {us}, orders {goods} from {partner}, called {them}.",
        "Clauses of a contract on {goods}, signed in {town} by {firm} ({us}) and {partner} ({them}).",
    ),
    distractors=(
        "invoices are sent by post on day {few} of each month",
        "headings are for convenience and do not affect the meaning",
        "the contact person in {town} is {name}",
        "{them} delivers to the site in {town} before {clock}",
        "this document has {n} pages and {few} annexes",
        "words in the singular include the plural",
        "{goods} are ordered by e-mail with reference {hundreds}",
        "the parties met in {town} on {day} {month} {year}",
        "{us} names a coordinator, at present {name}",
        "samples are kept for {few} months in a dry room",
        "the fee for the first year is £{sum}, payable in pounds",
        "{them} keeps records of each delivery for {n} weeks",
        "a copy is held by {third}, the notary's archive",
        "staff of {them} wear badges on the premises",
    ),
    closings=(
        "Signed in two copies.",
        "Annex {few} forms part of this document.",
        "Done in {town} on {day} {month} {year}.",
        "The English text prevails.",
    ),
)
