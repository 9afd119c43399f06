"""Credit applications: ``approve`` or ``reject``?

The rule. Findings for reject (+1): two or more missed payments, a court judgment, a bankruptcy, a
default on a loan, debt above 40 % of income, fewer than 6 months in the job. Findings against it
(-1): a guarantor has signed, savings above £10,000.

A finding asserted of the applicant counts 2, a hedged one 1; one that is denied, that is another
person's, or an amount within its limit counts 0. The application is rejected when the sum of
``sign * count`` is 2 or more. Every text states a postcode, which the rule does not know. This is
a toy rule for explaining models, not a lending policy.
"""

from collections.abc import Mapping

from whence.cases.case import Polarity
from whence.cases.shared import Domain, Finding

_RECORD: Mapping[Polarity, tuple[str, ...]] = {
    "asserted": (
        "the file shows [{ax}] in {year}",
        "{he} admits to [{ax}] in {month} {year}",
        "the bureau lists [{ax}] against {name}",
        "[{ax}] is recorded under {his} name since {year}",
        "{he} does not dispute [{ax}] from {year}",
        "there is [{ax}], and {he} explains it by an illness",
        "in {year} {he} had [{ax}] after losing work as a {job}",
        "{his} {rel} mentions that {he} had [{ax}]",
    ),
    "negated": (
        "the file shows [no {x}]",
        "{he} [never had {ax}]",
        "{he} [denies {ax}] and the search agrees",
        "the bureau [does not list {ax}] for {name}",
        "[{ax} was searched for and not found]",
        "[there is no {x}] under {his} name since {year}",
        "{he} states, correctly, that [there was never {ax}]",
    ),
    "other_person": (
        "{his} [{rel} had {ax}] in {year}",
        "the bureau lists [{ax} for {his} {rel}], who is not a party",
        "[{ax} belongs to {his} {rel}] at the same address",
        "{he} once lived with {his} [{rel}, who has {ax}]",
        "a [namesake in {town} has {ax}], so the file was checked twice",
        "{his} [{rel} admits to {ax}] in {month} {year}",
    ),
    "hedged": (
        "there [may have been {ax}] in {year}, the record is incomplete",
        "[possibly {ax}], the letter cannot be read",
        "an old file [hints at {ax}] without proof",
        "{he} [is not sure whether there was {ax}]",
        "the search reports [a suspected {x}], unconfirmed",
    ),
}


def _record(name: str, reason: str, *phrases: str) -> Finding:
    return Finding(name=name, sign=1, reason=reason, phrases=phrases, frames=_RECORD)


# Amounts are told in the same words on both sides of a limit, so that the number alone decides.
_DEBT = (
    "[monthly debts take {v} % of income]",
    "[debt stands at {v} % of income] where the ceiling is 40 %",
    "the affordability sheet gives [a debt ratio of {v} %]",
    "{he} spends [{v} % of income on debts]",
)
_MISSED = (
    "{he} has [missed {v} payments] in the last year",
    "the account shows [{v} late payments] since {month}",
    "[{v} instalments were not paid] on time in {year}",
    "the lender counted [{v} payments missed] where two are too many",
)
# Less than two is one: in the plural the grammar would give it away, or be wrong.
_MISSED_ONE = (
    "{he} has [missed {v} payment] in the last year",
    "the account shows [{v} late payment] since {month}",
    "[{v} instalment was not paid] on time in {year}",
    "the lender counted [{v} payment missed] where two are too many",
)
_TENURE = (
    "{he} has been [in the present job for {v} months]",
    "{his} [employment as a {job} began {v} months ago]",
    "payslips prove [{v} months with the employer], the minimum being 6",
    "{he} joined the firm in {town2} [{v} months ago]",
)
_SAVINGS = (
    "{he} holds [savings of £{v}]",
    "the savings book shows [a balance of £{v}] where £10,000 helps",
    "[£{v} is set aside in savings] with a bank in {town2}",
)

DOMAIN = Domain(
    name="credit",
    labels=("approve", "reject"),
    findings=(
        _record(
            "judgment",
            "court judgment",
            "court judgment",
            "county court judgment",
            "court order for unpaid debt",
        ),
        _record(
            "bankruptcy",
            "bankruptcy",
            "bankruptcy",
            "personal insolvency",
            "insolvency arrangement",
        ),
        _record(
            "default",
            "loan default",
            "default on a loan",
            "loan written off by a bank",
            "account in default",
        ),
        Finding(
            name="missed_payments",
            sign=1,
            reason="missed payments",
            reason_within="fewer than two missed payments",
            beyond=(2, 9),
            within=(1, 1),
            frames={
                "asserted": _MISSED,
                "within_limit": _MISSED_ONE,
                "negated": (
                    "{he} has [never missed a payment]",
                    "the account shows [no late payments] since {year}",
                    "[not one instalment was missed] in {few} years",
                ),
                "other_person": (
                    "{his} [{rel} has missed {v} payments] in the last year",
                    "[{v} late payments are on the file of {his} {rel}]",
                    "{his} [{rel}'s account shows {v} late payments]",
                ),
                "hedged": (
                    "{he} [may have missed {v} payments], the statement is torn",
                    "[perhaps {v} late payments], the lender will not confirm",
                ),
            },
        ),
        Finding(
            name="high_debt",
            sign=1,
            reason="debt above 40",
            reason_within="debt not above 40",
            beyond=(41, 72),
            within=(9, 40),
            frames={
                "asserted": _DEBT,
                "within_limit": _DEBT,
                "other_person": (
                    "{his} [{rel} spends {v} % of income on debts]",
                    "[debts of {his} {rel} take {v} % of that person's income]",
                ),
                "hedged": (
                    "[debts may take {v} % of income], the figures are old",
                    "an [unconfirmed estimate puts debt at {v} % of income]",
                ),
            },
        ),
        Finding(
            name="short_tenure",
            sign=1,
            reason="under 6 months in the job",
            reason_within="6 months or more in the job",
            beyond=(2, 5),
            within=(6, 48),
            frames={
                "asserted": _TENURE,
                "within_limit": _TENURE,
                "other_person": (
                    "{his} [{rel} has been in the present job for {v} months]",
                    "{his} [{rel} joined a firm in {town2} {v} months ago]",
                ),
            },
        ),
        Finding(
            name="guarantor",
            sign=-1,
            reason="guarantor signed",
            frames={
                "asserted": (
                    "[a guarantor has signed] for the full sum",
                    "{his} {rel} [has signed as guarantor]",
                    "[a guarantor's signature is on file]",
                ),
                "negated": (
                    "[no guarantor has signed]",
                    "{his} {rel} [refused to sign as guarantor]",
                    "[a guarantor is not available]",
                ),
                "other_person": (
                    "[a guarantor has signed for {his} {rel}], in another application",
                    "{his} [{rel} has a guarantor] for a separate loan",
                ),
                "hedged": (
                    "{his} {rel} [might sign as guarantor], nothing is settled",
                    "[possibly a guarantor will sign]",
                ),
            },
        ),
        Finding(
            name="savings",
            sign=-1,
            reason="savings above 10,000",
            reason_within="savings not above 10,000",
            beyond=(10100, 38000),
            within=(400, 10000),
            step=100,
            margin=30,
            frames={
                "asserted": _SAVINGS,
                "within_limit": _SAVINGS,
                "other_person": (
                    "{his} [{rel} holds savings of £{v}]",
                    "[£{v} is in the savings book of {his} {rel}]",
                ),
            },
        ),
    ),
    # In every text, so that the area of a postcode can leak the label and its presence cannot.
    always=(
        (
            "postcode",
            (
                "the home address is in [{postcode}]",
                "postcode [{postcode}], verified by a utility bill",
                "{he} lives at an address in {town}, [{postcode}]",
                "letters go to {few} Mill Lane, [{postcode}]",
                "the electoral roll places {him} at [{postcode}] since {year}",
            ),
        ),
    ),
    openings=(
        "{name}, {age}, a {job} from {town}, applies for £{sum} to pay for {purpose}.",
        "Application of {day} {month}: {name}, {age} years old, {job}, asks for £{sum}.",
        "{title} requests a loan of £{sum} for {purpose} over {few} years.",
        "Loan request by {name} ({age}), who works as a {job} in {town}; purpose: {purpose}.",
        "{name} would like to borrow £{sum}. {title} is {age} and works as a {job}.",
    ),
    distractors=(
        "the form was filled in at the {town2} branch on {day} {month}",
        "{he} rents a flat with {his} {rel2}",
        "{he} has held the same phone number since {year}",
        "the request came through the website at {clock}",
        "{he} plans to repay over {few} years",
        "the interview lasted {n} minutes",
        "{he} owns a car bought in {year} and a bicycle",
        "{he} studied in {town2} and later trained as a {job}",
        "the case number ends in {hundreds}",
        "{he} was introduced by {his} {rel2}, a customer since {year}",
        "{his} {rel2} is a {job} in {town2}",
        "proof of identity is a passport issued in {year}",
        "{he} asked twice whether the rate is fixed",
        "the quote from the trader is dated {day} {month}",
        "{he} is not a member of any club and has no pets",
    ),
    closings=(
        "Documents were scanned the same day.",
        "{he} can be reached after {clock}.",
        "The file was copied to the {town} branch.",
        "Consent to the search was given.",
        "No further papers are expected.",
    ),
)
