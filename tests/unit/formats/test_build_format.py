from __future__ import annotations

import pytest

from vault.errors import SetupError
from vault.formats import FORMATS, FormatOptionError, OptionValues, build_format
from vault.formats.base.contract import Parsed, Plan, RandomPlan
from vault.formats.base.layout import bare_layout
from vault.model import Generator, Storage

OPTIONS: dict[str, OptionValues] = {
    "alphabet": {"alphabet": "digits", "min": 6},
    "postcode": {"region": "GB"},
    "template": {"template": "AC-{serial:digits:8}"},
    "uuid": {"case": "lower"},
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_format_is_built_under_its_name_and_says_what_it_can(name: str) -> None:
    made = build_format(name, **OPTIONS.get(name, {}))
    assert made.name == name
    assert made.token_spec()["rules"] == (2 if name in {"address", "person_name"} else 1)
    for generator in Generator:
        for storage in Storage:
            fits = generator in made.generators and storage in made.storages
            fits &= (generator, storage) != (Generator.RANDOM, Storage.VAULTLESS)
            # Without a max, digits are longer than FF3-1 takes.
            fits &= (name, generator) != ("alphabet", Generator.FF3_1)
            assert (made.check_generator(generator, storage) is None) == fits


@pytest.mark.parametrize(("name", "hint"), [("cards", "did you mean card"), ("?", "us_ssn")])
def test_an_unknown_format_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(FormatOptionError, match=hint) as caught:
        build_format(name)
    assert caught.value.option == "format"
    assert isinstance(caught.value, SetupError)


def test_an_option_that_a_format_has_not_is_named_as_it_is_written() -> None:
    with pytest.raises(FormatOptionError, match=r"no option keep\.first; it has .*keep\.domain"):
        build_format("email", keep_first=2)


def test_what_holds_plaintext_is_quiet() -> None:
    digits = build_format("alphabet", **OPTIONS["alphabet"]).token_plan("123456", Storage.VAULTED)
    held = (
        Parsed("secret", bare_layout(6)),
        Plan(digits.alphabet, "secret", "secret", str),
        RandomPlan(digits.alphabet, 6, lambda made: "secret" + made),
    )
    assert not any("secret" in repr(item) for item in held)
