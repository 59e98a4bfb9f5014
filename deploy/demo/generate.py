"""Writes the sample customer file: people who do not exist, the same ones at every run.

    python deploy/demo/generate.py [FILE]

About one row in a hundred is broken on purpose, as real files are: a card number that
fails its check digit or lacks digits, letters in an SSN, an e-mail address without an @.
"""

from __future__ import annotations

import csv
import io
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROWS = 3_000
SEED = 20_260_201
FILE = Path(__file__).parent / "customers.csv"

GIVEN_NAMES = (
    "Ana Ben Chloé Dmitri Eun-ji Fatima Giulia Håkon Ines Jo Karim Lena Mary-Jane Nils Olga "
    "Priya Quentin Rosa Søren Thandiwe Ursula Viktor Wei Ximena Yusuf Zoë Björk Ed Noor Łukasz"
).split()
SURNAMES = (
    "Abara Bauer Castillo D'Angelo Ek Fernández García-López Hansen Ivanov Jensen Kowalska "
    "Lindström Müller Ng O'Neal Petrov Quispe Rossi Smith Tanaka Ueda Vu Weiß Xu Yılmaz Zhang "
    "Okafor MacLeod Þórsdóttir Li"
).split()
PARTICLES = ("van der", "de la", "von")
CITIES = (
    *"Aarhus Bergen Córdoba Dresden Edmonton Fresno Gdańsk Haarlem İzmir Jaipur Kraków".split(),
    *"Lagos Montréal Nagoya Ottawa Porto Quito Rennes Tampa Utrecht Valencia Zürich".split(),
    *("New York", "San José", "St. Louis", "Frankfurt, Main"),
)
NOTES = (
    "",
    "",
    "",
    "",
    "prefers e-mail",
    "asked for an invoice, twice",
    'says "call after six"',
    "moved; old address on file",
    "vip",
    "do not call",
    "two\nlines, typed in a hurry",
)
MAIL_HOSTS = ("example.com", "example.org", "mail.example.net", "Example.COM")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

# Ranges that the brands' own documentation uses, with the brand's length and grouping.
BRANDS = (
    ("4", 16, (4, 4, 4, 4)),
    ("51", 16, (4, 4, 4, 4)),
    ("2221", 16, (4, 4, 4, 4)),
    ("6011", 16, (4, 4, 4, 4)),
    ("3530", 16, (4, 4, 4, 4)),
    ("34", 15, (4, 6, 5)),
    ("37", 15, (4, 6, 5)),
)


class Customer(NamedTuple):
    """One row of the file."""

    customer_id: str
    given_name: str
    surname: str
    email: str
    card_number: str
    us_ssn: str
    national_id: str
    phone: str
    city: str
    notes: str


def customers(rows: int = ROWS, seed: int = SEED) -> Iterator[Customer]:
    """Makes the customers, about one in a hundred of them broken."""
    choose = random.Random(seed)
    for number in range(1, rows + 1):
        customer = _customer(choose, number)
        if choose.random() < 0.01:
            customer = choose.choice(BREAKAGES)(choose, customer)
        yield customer


def render(rows: int = ROWS, seed: int = SEED) -> str:
    """Returns the whole file: UTF-8 text, commas, LF."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Customer._fields)
    writer.writerows(customers(rows, seed))
    return text.getvalue()


def luhn_digit(body: str) -> str:
    """Returns the check digit that a card number's other digits need (ISO/IEC 7812-1, Annex B)."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return str(-total % 10)


def _customer(choose: random.Random, number: int) -> Customer:
    given, surname = choose.choice(GIVEN_NAMES), choose.choice(SURNAMES)
    if choose.random() < 0.05:
        surname = f"{choose.choice(PARTICLES)} {surname}"
    if choose.random() < 0.03:
        given, surname = given.upper(), surname.upper()
    return Customer(
        customer_id=f"C{number:06d}",
        given_name=given,
        surname=surname,
        email=_email(choose, number),
        card_number=_card(choose),
        us_ssn=_us_ssn(choose),
        # Not everybody has one: empty cells are no values and stay as they are.
        national_id=_national_id(choose) if choose.random() < 0.9 else "",
        phone=f"+1 {choose.randrange(201, 990)}-555-01{choose.randrange(100):02d}",
        city=choose.choice(CITIES),
        notes=choose.choice(NOTES),
    )


def _digits(choose: random.Random, count: int) -> str:
    return "".join(choose.choices("0123456789", k=count))


def _email(choose: random.Random, number: int) -> str:
    first = choose.choice(("anna", "b.lee", "CarlaM", "d_ortiz", "erik-h", "j", "shop+news"))
    return f"{first}{number}@{choose.choice(MAIL_HOSTS)}"


def _card(choose: random.Random) -> str:
    prefix, length, groups = choose.choice(BRANDS)
    body = prefix + _digits(choose, length - len(prefix) - 1)
    number = body + luhn_digit(body)
    separator = choose.choice(("", "", " ", "-"))
    return separator.join(_grouped(number, groups))


def _grouped(text: str, sizes: tuple[int, ...]) -> Iterator[str]:
    start = 0
    for size in sizes:
        yield text[start : start + size]
        start += size


def _us_ssn(choose: random.Random) -> str:
    # Area 900 to 999 is never issued as an SSN.
    number = f"9{_digits(choose, 8)}"
    return number if choose.random() < 0.2 else "-".join(_grouped(number, (3, 2, 4)))


def _national_id(choose: random.Random) -> str:
    letters = "".join(choose.choices(LETTERS, k=2))
    return choose.choice(
        (
            f"{letters} {_digits(choose, 2)} {_digits(choose, 2)} {_digits(choose, 2)} A",
            f"{_digits(choose, 3)}.{_digits(choose, 3)}.{_digits(choose, 3)}-{_digits(choose, 2)}",
            f"{letters.lower()}{_digits(choose, 8)}",
            f"{_digits(choose, 10)}",
        )
    )


def _wrong_check_digit(choose: random.Random, customer: Customer) -> Customer:
    number = customer.card_number
    wrong = (int(number[-1]) + choose.randrange(1, 10)) % 10
    return customer._replace(card_number=f"{number[:-1]}{wrong}")


def _card_too_short(choose: random.Random, customer: Customer) -> Customer:
    return customer._replace(card_number=customer.card_number[: choose.randrange(4, 10)])


def _letters_in_ssn(choose: random.Random, customer: Customer) -> Customer:
    return customer._replace(us_ssn=customer.us_ssn.replace("9", choose.choice("OIl"), 1))


def _ssn_too_long(choose: random.Random, customer: Customer) -> Customer:
    return customer._replace(us_ssn=customer.us_ssn + _digits(choose, 1))


def _mail_without_at(_: random.Random, customer: Customer) -> Customer:
    return customer._replace(email=customer.email.replace("@", " at "))


BREAKAGES: tuple[Callable[[random.Random, Customer], Customer], ...] = (
    _wrong_check_digit,
    _wrong_check_digit,
    _card_too_short,
    _letters_in_ssn,
    _ssn_too_long,
    _mail_without_at,
)


def main() -> None:
    """Writes the file named on the command line, or the one that is committed."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    path.write_text(render(), encoding="utf-8", newline="")
    print(f"{ROWS:,} customers written to {path}")


if __name__ == "__main__":
    main()
