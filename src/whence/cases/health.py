"""Triage notes: is the patient ``urgent`` or ``routine``?

The rule. Findings for urgent (+1): chest pain, breathlessness at rest, blackout, weakness of one
side, bleeding, new confusion, an oxygen saturation below 92 %, a pulse above 120 a minute.
Findings against it (-1): a specialist cleared the patient today, a care plan is agreed for these
very symptoms.

A finding asserted of the patient counts 2, a hedged one 1; one that is denied, that is another
person's, or an amount within its limit counts 0. The note is urgent when the sum of
``sign * count`` is 2 or more. This is a toy rule for explaining models, not medical advice.
"""

from collections.abc import Mapping

from whence.cases.case import Polarity
from whence.cases.shared import Domain, Finding

_SYMPTOM: Mapping[Polarity, tuple[str, ...]] = {
    "asserted": (
        "{he} reports [{x}] since {time}",
        "{he} complains of [{x}], worse over the last {span}",
        "{he} has had [{x}] for {span}",
        "main complaint is [{x}]",
        "on questioning {he} describes [{x}] that began {time}",
        "{name} came in because of [{x}]",
        "the ambulance crew witnessed [{x}] on the way in",
        "the nurse notes [{x}] on arrival",
        "[{x}] has not eased with rest",
        "[{x}] since {time}, which {his} {rel} also noticed",
        "{his} {rel} called for help because {he} had [{x}]",
        "{he} did not sleep because of [{x}]",
    ),
    "negated": (
        "{he} [denies {x}]",
        "{he} [firmly denies {x}] when asked twice",
        "there has been [no {x}] over the last {span}",
        "[no {x}] at any point since {time}",
        "{he} [has not had {x}]",
        "[{x} was asked about and ruled out]",
        "{he} managed the stairs [without {x}]",
        "screening was [negative for {x}]",
        "{he} says {he} [has never experienced {x}]",
        "[{x} is absent] on examination",
        "{his} {rel} agrees that there was [no {x}]",
    ),
    "other_person": (
        "{his} [{rel} had {x}] last {season}",
        "{he} is worried because {his} [{rel} was admitted with {x}]",
        "[family history of {x} in a {rel}]",
        "{his} [{rel} died after {x}] in {year}",
        "{his} [{rel} is being treated for {x}]",
        "the [patient in the next bay has {x}] and {he} heard about it",
        "{he} drove here with {his} [{rel}, who reports {x}]",
        "{his} [{rel} complains of {x}] since {time}",
    ),
    "hedged": (
        "{he} [may have had {x}] but is not sure",
        "[possible {x}], hard to tell from the account",
        "[perhaps {x}] {time}, the story is unclear",
        "{he} [wonders whether it was {x}]",
        "there is [some question of {x}] in the referral letter",
        "the caller thought there [might have been {x}]",
        "[suspected {x}], not confirmed by anyone",
    ),
}


def _symptom(name: str, reason: str, *phrases: str) -> Finding:
    return Finding(name=name, sign=1, reason=reason, phrases=phrases, frames=_SYMPTOM)


DOMAIN = Domain(
    name="health",
    labels=("routine", "urgent"),
    findings=(
        _symptom(
            "chest_pain",
            "chest pain",
            "chest pain",
            "crushing pain in the chest",
            "tightness across the chest",
            "heavy aching behind the breastbone",
        ),
        _symptom(
            "breathlessness",
            "breathlessness",
            "breathlessness at rest",
            "shortness of breath while sitting still",
            "trouble catching a breath",
            "gasping for air when lying down",
        ),
        _symptom(
            "blackout",
            "blackout",
            "blackouts",
            "loss of consciousness",
            "sudden collapse",
            "fainting",
        ),
        _symptom(
            "weakness",
            "weakness of one side",
            "weakness down one side",
            "drooping of one side of the face",
            "numbness of the left arm",
            "loss of grip in one hand",
        ),
        _symptom(
            "bleeding",
            "bleeding",
            "coughing up of blood",
            "vomiting of blood",
            "black tarry stools",
            "heavy bleeding from the nose",
        ),
        _symptom(
            "confusion",
            "confusion",
            "sudden confusion",
            "disorientation in familiar places",
            "muddled speech",
            "new difficulty recognising faces",
        ),
        Finding(
            name="low_oxygen",
            sign=1,
            reason="oxygen below 92",
            reason_within="oxygen not below 92",
            beyond=(78, 91),
            within=(92, 100),
            margin=3,
            frames={
                "asserted": (
                    "[oxygen saturation is {v} %] on air",
                    "[saturation {v} %] against an alert level of 92 %",
                    "the finger probe shows [oxygen at {v} %]",
                    "[SpO2 reads {v} %] at {clock}",
                    "the crew measured [an oxygen saturation of {v} %]",
                ),
                # The same words as beyond the limit, so that the number alone decides.
                "within_limit": (
                    "[oxygen saturation is {v} %] on air",
                    "[saturation {v} %] against an alert level of 92 %",
                    "the finger probe shows [oxygen at {v} %]",
                    "[SpO2 reads {v} %] at {clock}",
                    "the crew measured [an oxygen saturation of {v} %]",
                ),
                "other_person": (
                    "{his} [{rel} once had an oxygen saturation of {v} %]",
                    "{his} [{rel}'s finger probe shows oxygen at {v} %], {he} adds",
                    "the [patient in the next bay has a saturation of {v} %]",
                ),
            },
        ),
        Finding(
            name="fast_pulse",
            sign=1,
            reason="pulse above 120",
            reason_within="pulse not above 120",
            beyond=(121, 165),
            within=(56, 120),
            margin=12,
            frames={
                "asserted": (
                    "[pulse is {v}] a minute",
                    "[heart rate {v}] where we escalate above 120",
                    "at {clock} the monitor shows [a pulse of {v}]",
                    "the nurse counted [a heart rate of {v}]",
                ),
                "within_limit": (
                    "[pulse is {v}] a minute",
                    "[heart rate {v}] where we escalate above 120",
                    "at {clock} the monitor shows [a pulse of {v}]",
                    "the nurse counted [a heart rate of {v}]",
                ),
                "other_person": (
                    "{his} [{rel} had a heart rate of {v}] last {season}",
                    "{his} [{rel}'s watch shows a pulse of {v}], {he} says",
                ),
            },
        ),
        Finding(
            name="cleared",
            sign=-1,
            reason="cleared by a specialist",
            frames={
                "asserted": (
                    "{he} [was cleared by the specialist team] at {clock}",
                    "[a specialist has examined and cleared {him}] today",
                    "[the consultant cleared {him}] an hour before this note",
                ),
                "negated": (
                    "[no specialist has cleared {him}] so far",
                    "{he} [was not cleared by the specialist team]",
                    "[the consultant has not cleared {him}] yet",
                ),
                "other_person": (
                    "{his} [{rel} was cleared by the specialist team] last {season}",
                    "[the consultant cleared {his} {rel}] in {year}",
                ),
                "hedged": (
                    "{he} [may have been cleared by a specialist], no letter is found",
                    "[possibly cleared by the consultant], {he} does not remember",
                ),
            },
        ),
        Finding(
            name="care_plan",
            sign=-1,
            reason="care plan agreed",
            frames={
                "asserted": (
                    "[an agreed care plan covers these symptoms]",
                    "[a care plan for such episodes is in place]",
                    "{he} carries [a signed care plan for these symptoms]",
                ),
                "negated": (
                    "[no care plan covers these symptoms]",
                    "[a care plan for such episodes is not in place]",
                    "{he} [does not have a care plan]",
                ),
                "other_person": (
                    "{his} [{rel} has an agreed care plan for such symptoms]",
                    "[a care plan is in place for {his} {rel}]",
                ),
                "hedged": (
                    "{he} [thinks a care plan might be in place]",
                    "[perhaps there is a care plan], the record does not open",
                ),
            },
        ),
    ),
    openings=(
        "{name}, a {age}-year-old {job} from {town}, walked into the unit at {clock}.",
        "Triage note, {day} {month}: {name}, {age}, {job}.",
        "{age}-year-old {sex}, {name}, brought by {his} {rel} from {town} at {clock}.",
        "{name} ({age}) was referred from the practice in {town} on {day} {month}.",
        "Seen at {clock}: {title}, {age} years old, works as a {job}.",
        "This {age}-year-old {job} attended with {his} {rel} after a call to the {town} line.",
    ),
    distractors=(
        "the waiting room ticket was number {hundreds}",
        "{he} takes {drug} {n} mg once a day and has no side effects",
        "{he} lives with {his} {rel2} and a dog near {town2}",
        "the last tetanus booster was in {year}",
        "weight is {n} kg and shoes are size {few}",
        "{he} also asks about a sore knee from a walk in {month}",
        "{he} is allergic to {plant}, known since {year}",
        "{he} would like a sick note for work as a {job}",
        "parking was paid until {clock}",
        "{he} denies smoking and drinks tea, about {few} cups a day",
        "{his} {rel} waits outside with the bags",
        "{he} moved from {town2} in {year} and has a new practice",
        "the blood sample was labelled at {clock}",
        "{he} had a tooth filled last {season} without trouble",
        "{he} prefers to be called by the first name",
        "temperature was taken twice with the ear thermometer, {clock} and later",
    ),
    closings=(
        "Phone number confirmed.",
        "Note written at {clock}.",
        "{his} {rel} has been informed.",
        "An interpreter was not needed.",
        "Next of kin: {rel}, {town}.",
    ),
)
