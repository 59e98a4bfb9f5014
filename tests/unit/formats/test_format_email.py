from __future__ import annotations

import pytest

from vault.errors import FormatError, Reason
from vault.formats import Format, FormatOptionError, build_format
from vault.model import Generator, Storage

HIDDEN = build_format("email")
KEPT = build_format("email", keep_domain=True)


def token_of(email: Format, text: str, attempt: int = 0) -> str:
    parsed = email.parse(text)
    plan = email.random_plan(parsed.core, attempt)
    letters = "qwertzuiopasdfghjklyxcvbnm" * 5
    return email.render(plan.build(letters[: plan.length]), parsed.layout)


def restored(email: Format, text: str) -> str:
    return email.render(email.parse(text).core, email.parse_token(token_of(email, text)).layout)


@pytest.mark.parametrize(
    ("text", "hidden", "kept"),
    [
        (
            "MarieHamanova@ArmySpy.com",
            "QwertZuiopasd@example.com",
            "QwertZuiopasd@ArmySpy.com",
        ),
        ("a.b+news@x.org", "q.w+ertzui@example.com", "q.w+ertzui@x.org"),
        ("Jo@x.org", "Qwertzui@example.com", "Qwertzui@x.org"),
        ("JO@x.org", "QWERTZUI@example.com", "QWERTZUI@x.org"),
        ("o'neal_7-x@x.org", "q'wert_z-ui@example.com", "q'wert_z-ui@x.org"),
        ("_@x.org", "qwertzui_@example.com", "qwertzui_@x.org"),
    ],
)
def test_tokens(text: str, hidden: str, kept: str) -> None:
    assert token_of(HIDDEN, text) == hidden
    assert token_of(KEPT, text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "MarieHamanova@ArmySpy.com",
        "a@b",
        "a.b+c@x.org",
        "..a..@x.org",
        "+@x.org",
        "用户@例え.テスト",
        "Zoë.İlker@Straße.example",
        "zoe\u0308@x.org",
        "user@[192.0.2.1]",
        "user@[IPv6:2001:db8::1]",
        "x" * 64 + "@x.org",
        "Someone@EXAMPLE.com",
    ],
)
@pytest.mark.parametrize("email", [HIDDEN, KEPT], ids=["hidden", "kept"])
def test_values_come_back_from_their_tokens_layout(email: Format, text: str) -> None:
    parsed = email.parse(text)
    assert email.render(parsed.core, parsed.layout) == text
    assert restored(email, text) == text


def test_case_of_the_local_part_is_not_in_the_core_and_that_of_a_hidden_domain_is() -> None:
    assert HIDDEN.parse("Bob@x.org").core == HIDDEN.parse("bOB@x.org").core
    assert HIDDEN.parse("bob@X.org").core != HIDDEN.parse("bob@x.org").core
    assert KEPT.parse("bob@X.org").core == KEPT.parse("bob@x.org").core


def test_digits_and_accents_of_the_local_part_do_not_stay() -> None:
    token = token_of(HIDDEN, "zoë1984@x.org")
    assert token == "qwertzui@example.com"


def test_a_short_local_part_gets_longer_tokens_with_each_attempt() -> None:
    assert [len(token_of(HIDDEN, "ab@x.org", n).split("@")[0]) for n in range(3)] == [8, 9, 10]
    assert len(token_of(HIDDEN, "x" * 64 + "@x.org", 3).split("@")[0]) == 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("secret", Reason.VALUE_NOT_IN_FORMAT),
        ("@secret.org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@@x.org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@x@y.org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@x..org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@.org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@x.org.", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@x!y.org", Reason.VALUE_NOT_IN_FORMAT),
        (" secret@x.org", Reason.VALUE_NOT_IN_FORMAT),
        ("sec ret@x.org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret@x.org\n", Reason.VALUE_NOT_IN_FORMAT),
        ("sec\u00a0ret@x.org", Reason.VALUE_NOT_IN_FORMAT),
        ("sec\x00ret@x.org", Reason.VALUE_NOT_IN_FORMAT),
        ("secret\ud800@x.org", Reason.VALUE_NOT_IN_FORMAT),
        ('"secret"@x.org', Reason.VALUE_NOT_IN_FORMAT),
        ("<secret@x.org>", Reason.VALUE_NOT_IN_FORMAT),
        ("s" * 65 + "@x.org", Reason.VALUE_TOO_LONG),
        ("李" * 22 + "@x.org", Reason.VALUE_TOO_LONG),
        ("secret@" + "x" * 248, Reason.VALUE_TOO_LONG),
        ("secret@" + "é" * 124, Reason.VALUE_TOO_LONG),
    ],
)
def test_what_is_no_address_is_refused_without_a_quote(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        HIDDEN.parse(text)
    assert caught.value.reason is reason
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "abcdefgh@x.org",
        "abcd3fgh@example.com",
        "@example.com",
        "äbcdefgh@example.com",
        "a b@example.com",
        "a@b@example.com",
        "a" * 600 + "@example.com",
    ],
)
def test_what_no_token_looks_like_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        HIDDEN.parse_token(text)


@pytest.mark.parametrize("email", [HIDDEN, KEPT], ids=["hidden", "kept"])
def test_a_token_that_a_mail_system_put_in_small_letters_is_still_that_token(
    email: Format,
) -> None:
    token = token_of(email, "MarieHamanova@ArmySpy.com")
    assert email.parse_token(token.lower()).core == email.parse_token(token).core


def test_a_masked_core_is_written_even_when_its_at_sign_is_hidden() -> None:
    layout = HIDDEN.parse_token("q.wertzuio@example.com").layout
    assert HIDDEN.render("********.org", layout) == "*.*******.org"


def test_random_and_vaulted_only() -> None:
    assert HIDDEN.generators == {Generator.RANDOM}
    assert HIDDEN.storages == {Storage.VAULTED}
    assert HIDDEN.check_generator(Generator.RANDOM, Storage.VAULTED) is None
    assert HIDDEN.check_generator(Generator.FF1, Storage.VAULTED) is not None
    assert HIDDEN.check_generator(Generator.RANDOM, Storage.VAULTLESS) is not None
    assert HIDDEN.effective_domain(Generator.RANDOM, Storage.VAULTED) == 26**8
    assert HIDDEN.token_spec() != KEPT.token_spec()
    with pytest.raises(ValueError, match="no FPE generator"):
        HIDDEN.token_plan("a@b", Storage.VAULTED)
    with pytest.raises(ValueError, match="no FPE generator"):
        HIDDEN.value_plan("a@b")
    with pytest.raises(FormatOptionError) as caught:
        build_format("email", keep_last=1)
    assert caught.value.option == "keep_last"
