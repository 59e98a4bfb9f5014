"""Real servers shared by the whole run: Postgres and an OpenBao, both on loopback."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from vault.config import KeysSettings
from vault.dev.authority import Authority
from vault.dev.openbao import AppRoleFiles, DevOpenBao
from vault.dev.postgres import SERVICE, Database, EmbeddedPostgres

# A shell without job control ignores SIGINT for what it starts in the background, and every
# child inherits that: tests of Ctrl-C would press it in vain. A handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shell may forbid it. Every test module would be compiled again by each process of a run, and
# all that a server or a command imports by each of hundreds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# An example takes as long as the machine lets it: no test is about the wall clock. `make soak`
# takes the thorough profile.
settings.register_profile("tokenvault", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("tokenvault")


# What starts servers takes longest. It goes first, so that no process has a long file left
# when the others have nothing.
_LONGEST_FIRST = ("e2e", "integration", "contract", "property")


def _turn(item: pytest.Item) -> int:
    folders = item.path.relative_to(Path(__file__).parent).parts
    return _LONGEST_FIRST.index(folders[0]) if folders[0] in _LONGEST_FIRST else 9


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    for item in items:
        # `make test` looks for them nowhere else: to collect all takes as long as some of them.
        if item.get_closest_marker("alone") and _turn(item) != 0:
            raise pytest.UsageError(f"{item.nodeid} is alone, and not in tests/e2e")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running Postgres of this run's own; its data need not survive a crash."""
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings=settings) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """Name of a migrated database that others are copied from: quicker than migrating each."""
    from vault.postgres.migrate import migrate

    template = postgres_server.create_database(f"template_{secrets.token_hex(4)}")
    migrate(template.owner_url, SERVICE)
    return template.name


@pytest.fixture(scope="session")
def make_database(
    postgres_server: EmbeddedPostgres, migrated_template: str
) -> Callable[[], Database]:
    """Makes fresh migrated databases; they go with the server."""

    def make() -> Database:
        name = f"test_{secrets.token_hex(6)}"
        return postgres_server.create_database(name, template=migrated_template)

    return make


@pytest.fixture
def database(
    postgres_server: EmbeddedPostgres, make_database: Callable[[], Database]
) -> Iterator[Database]:
    """A fresh migrated database for one test, dropped after it."""
    made = make_database()
    yield made
    postgres_server.drop_database(made.name)


@pytest.fixture(scope="module")
def module_database(
    postgres_server: EmbeddedPostgres, make_database: Callable[[], Database]
) -> Iterator[Database]:
    """A fresh migrated database for the tests of one module, dropped after them."""
    made = make_database()
    yield made
    postgres_server.drop_database(made.name)


@pytest.fixture
def empty_database(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    """A database without a schema, for the tests of the migrations themselves."""
    made = postgres_server.create_database(f"empty_{secrets.token_hex(6)}")
    yield made
    postgres_server.drop_database(made.name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A development certificate authority of this run's own."""
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[DevOpenBao]:
    """A running OpenBao, unsealed."""
    with DevOpenBao(tmp_path_factory.mktemp("openbao"), authority) as server:
        yield server


@pytest.fixture(scope="module")
def app_role(openbao: DevOpenBao) -> AppRoleFiles:
    """A Transit key, a policy and an AppRole of this module's own."""
    return openbao.setup(f"test-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def keys_settings(openbao: DevOpenBao, app_role: AppRoleFiles) -> KeysSettings:
    """Settings that log in to the OpenBao as this module's AppRole."""
    return KeysSettings.model_validate(
        {
            "address": openbao.address,
            "ca": str(openbao.ca),
            "key_name": app_role.key_name,
            "auth": {
                "method": "approle",
                "role_id_file": str(app_role.role_id_file),
                "secret_id_file": str(app_role.secret_id_file),
            },
        }
    )


@pytest.fixture
def private_tmp(tmp_path: Path) -> Path:
    """A temporary directory with mode 0700."""
    tmp_path.chmod(0o700)
    return tmp_path
