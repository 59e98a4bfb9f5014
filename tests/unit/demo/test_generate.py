import csv
import io

from deploy.demo.generate import FILE, ROWS, Customer, customers, luhn_digit, render


def test_the_committed_file_is_what_the_generator_writes() -> None:
    assert FILE.read_bytes() == render().encode("utf-8")


def test_another_seed_gives_other_people() -> None:
    assert list(customers(rows=20, seed=1)) != list(customers(rows=20, seed=2))


def test_the_file_reads_back_whole() -> None:
    head, *rows = csv.reader(io.StringIO(render(), newline=""))
    assert tuple(head) == Customer._fields
    assert [tuple(row) for row in rows] == list(customers())
    assert len(rows) == ROWS


def _has_valid_card(customer: Customer) -> bool:
    digits = "".join(filter(str.isdigit, customer.card_number))
    return len(digits) in {15, 16} and luhn_digit(digits[:-1]) == digits[-1]


def test_about_one_row_in_a_hundred_is_broken_in_each_way() -> None:
    people = list(customers())
    bad_cards = sum(not _has_valid_card(each) for each in people)
    bad_ssns = sum(len(each.us_ssn.replace("-", "")) != 9 for each in people)
    ssn_letters = sum(not each.us_ssn.replace("-", "").isdigit() for each in people)
    bad_mails = sum("@" not in each.email for each in people)
    assert min(bad_cards, bad_ssns, ssn_letters, bad_mails) > 0
    assert 0.005 * ROWS < bad_cards + bad_ssns + ssn_letters + bad_mails < 0.02 * ROWS
    assert any(not each.national_id for each in people)


def test_the_check_digit_is_that_of_a_published_number() -> None:
    assert luhn_digit("411111111111111") == "1"
    assert luhn_digit("37828224631000") == "5"
