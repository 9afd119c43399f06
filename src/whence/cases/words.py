"""The vocabulary the domains share: people, places, times, and invented postcodes."""

import random
from dataclasses import dataclass

Fields = dict[str, str]
"""Values for the placeholders of a template."""

WOMEN = (
    "Amira", "Bettina", "Clara", "Dilys", "Esther", "Farida", "Greta", "Hanna", "Ines", "Joyce",
    "Keiko", "Lowri", "Maud", "Nadia", "Olive", "Priya", "Rosa", "Sunniva", "Tamsin", "Yasmin",
)  # fmt: skip
MEN = (
    "Aled", "Bruno", "Cedric", "Dmitri", "Emeka", "Felix", "Gareth", "Hugo", "Idris", "Jonas",
    "Kofi", "Leo", "Marek", "Nils", "Oskar", "Pavel", "Rhys", "Stefan", "Tariq", "Wendel",
)  # fmt: skip
SURNAMES = (
    "Abbot", "Barrow", "Castell", "Dunmore", "Eastlake", "Farrow", "Garside", "Hollis", "Iverson",
    "Jessop", "Kettle", "Lindqvist", "Marlow", "Nnadi", "Okafor", "Pemberley", "Quill", "Rowntree",
    "Sandoval", "Thackray", "Underhill", "Varga", "Whitlock", "Yarrow",
)  # fmt: skip
TOWNS = (
    "Ashcombe", "Brindle", "Carrow", "Dunsley", "Elmsworth", "Fenwick Bay", "Garston Hill",
    "Hartmere", "Inverlow", "Kelsby", "Larkfield", "Millbeck", "Norham", "Oakhaven", "Penrose",
    "Stainmoor", "Thornby", "Wexmouth",
)  # fmt: skip
JOBS = (
    "baker", "bus driver", "carpenter", "chef", "cleaner", "dental nurse", "electrician", "florist",
    "gardener", "joiner", "librarian", "mechanic", "midwife", "painter", "plumber", "postal worker",
    "roofer", "shop manager", "teacher", "translator", "warehouse clerk", "welder",
)  # fmt: skip
RELATIVES = (
    "father", "mother", "brother", "sister", "uncle", "aunt", "cousin", "neighbour", "flatmate",
    "grandfather", "grandmother", "colleague", "former partner", "best friend",
)  # fmt: skip
SPANS = (
    "an hour", "two hours", "half a day", "a day", "two days", "three days", "a week", "ten days",
    "a fortnight", "a month",
)  # fmt: skip
TIMES = (
    "this morning", "last night", "yesterday", "early today", "Sunday evening", "lunchtime",
    "Friday", "the weekend", "about noon", "before dawn",
)  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
SEASONS = ("spring", "summer", "autumn", "winter", "year", "month")
FIRMS = (
    "Alder", "Bracken", "Calder", "Dovetail", "Ember", "Foxglove", "Granite", "Harrier", "Ironbark",
    "Juniper", "Kestrel", "Lantern", "Meridian", "Northgate", "Orchard", "Pinnacle", "Quarry",
    "Rookery", "Sable", "Tidewater",
)  # fmt: skip
TRADES = ("Systems", "Foods", "Logistics", "Print", "Software", "Energy", "Textiles", "Labs")
FORMS = ("Ltd", "plc", "LLP", "and Sons", "Group")
GOODS = (
    "cloud hosting", "office cleaning", "payroll services", "catering", "security patrols",
    "machine parts", "website care", "courier services", "laboratory supplies", "fleet leasing",
)  # fmt: skip
PLANTS = ("penicillin", "latex", "peanuts", "strawberries", "pollen", "shellfish", "nickel")
DRUGS = ("amlodipine", "metformin", "sertraline", "levothyroxine", "omeprazole", "ramipril")
PURPOSES = (
    "a used van", "a new kitchen", "a wedding", "solar panels", "a motorbike", "roof repairs",
    "a training course", "a caravan", "studio equipment", "moving house", "a piano",
)  # fmt: skip

# Invented areas, so that no real district is spoken of.
AREAS_NEGATIVE = ("KB", "JF", "WU")
AREAS_POSITIVE = ("QX", "ZD", "VJ")
LEAK = 0.97
"""How often a planted postcode area agrees with the label. Chosen by hand; not calibrated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The person or the two parties a text is about."""

    name: str
    woman: bool
    age: int
    firm: str
    partner: str
    parties: tuple[str, str]


def draw_subject(rng: random.Random) -> Subject:
    """Draw the person and the parties of one text."""
    woman = rng.random() < 0.5
    first = rng.choice(WOMEN if woman else MEN)
    return Subject(
        name=f"{first} {rng.choice(SURNAMES)}",
        woman=woman,
        age=rng.randint(19, 88),
        firm=draw_firm(rng),
        partner=draw_firm(rng),
        parties=rng.choice(
            (
                ("the Customer", "the Supplier"),
                ("the Client", "the Provider"),
                ("the Buyer", "the Seller"),
                ("the Licensee", "the Licensor"),
            )
        ),
    )


def draw_firm(rng: random.Random) -> str:
    """An invented company name."""
    return f"{rng.choice(FIRMS)} {rng.choice(TRADES)} {rng.choice(FORMS)}"


def draw_postcode(rng: random.Random, areas: tuple[str, ...]) -> str:
    """An invented postcode in British form, from one of the areas.

    >>> draw_postcode(random.Random(4), ("KB",))[:2]
    'KB'
    """
    # Inward codes of British postcodes leave out C, I, K, M, O and V.
    letters = "ABDEFGHJLNPQRSTUWXYZ"
    inward = f"{rng.randint(1, 9)}{rng.choice(letters)}{rng.choice(letters)}"
    return f"{rng.choice(areas)}{rng.randint(1, 29)} {inward}"


def draw_fields(rng: random.Random, subject: Subject) -> Fields:
    """Fresh values for every placeholder, about a fixed subject."""
    return {
        "name": subject.name,
        "title": ("Mrs " if subject.woman else "Mr ") + subject.name.split(" ", 1)[1],
        "he": "she" if subject.woman else "he",
        "him": "her" if subject.woman else "him",
        "his": "her" if subject.woman else "his",
        "sex": "woman" if subject.woman else "man",
        "age": str(subject.age),
        "us": subject.parties[0],
        "them": subject.parties[1],
        "firm": subject.firm,
        "partner": subject.partner,
        # Every field is drawn, used or not: the next draw does not depend on which template asks
        # for what.
        "third": draw_firm(rng),
        "rel": rng.choice(RELATIVES),
        "rel2": rng.choice(RELATIVES),
        "town": rng.choice(TOWNS),
        "town2": rng.choice(TOWNS),
        "job": rng.choice(JOBS),
        "span": rng.choice(SPANS),
        "time": rng.choice(TIMES),
        # Up to 28, which every month has.
        "day": str(rng.randint(1, 28)),
        "month": rng.choice(MONTHS),
        "season": rng.choice(SEASONS),
        "year": str(rng.randint(1998, 2024)),
        "goods": rng.choice(GOODS),
        "plant": rng.choice(PLANTS),
        "drug": rng.choice(DRUGS),
        "purpose": rng.choice(PURPOSES),
        "few": str(rng.randint(2, 9)),
        "n": str(rng.randint(11, 98)),
        "hundreds": str(rng.randint(101, 989)),
        "sum": f"{rng.randint(11, 480) * 100:,}",
        "clock": f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}",
        "x": "",
        "v": "",
    }
