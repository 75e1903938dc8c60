"""The servers and the people of the client tests.

Every test runs against each database: `--database sqlite`, `--database postgres`, or both by default. PostgreSQL needs
KIM_TEST_POSTGRES, the URL of a server where databases may be made; without it those tests are skipped.
"""

import itertools
import os
import secrets
import signal

import pytest

from people import Person
from server import Server, new_postgres_database

_numbers = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--database", choices=["sqlite", "postgres", "both"], default="both")


def pytest_configure(config):
    # `make test` ends us with SIGTERM: end as after Ctrl-C, so that the fixtures stop their servers.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def pytest_generate_tests(metafunc):
    if "database" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--database")
        kinds = ["sqlite", "postgres"] if chosen == "both" else [chosen]
        metafunc.parametrize("database", kinds, scope="session")


@pytest.fixture(scope="session")
def make_server(database, tmp_path_factory):
    """A function that makes a server of its own on a new database, with KIM__… variables; it is not started yet."""
    made = []

    def make(**settings):
        name = f"clients-{database}-{next(_numbers)}"
        url = None
        if database == "postgres":
            admin = os.environ.get("KIM_TEST_POSTGRES")
            if not admin:
                pytest.skip("KIM_TEST_POSTGRES is not set")
            url = new_postgres_database(admin, f"kim_{name.replace('-', '_')}_{secrets.token_hex(4)}")
        server = Server(name, tmp_path_factory.mktemp(name), url, **settings)
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="session")
def server(make_server):
    """The server that most tests share; each test makes accounts of its own."""
    server = make_server().start()
    yield server
    server.stop()


@pytest.fixture
async def people(server):
    """A function that gives a new account; whoever is still connected at the end of the test leaves."""
    async with Crowd(server) as crowd:
        yield crowd


class Crowd:
    """Makes accounts with names that no other test uses, and the devices that sign in to them."""

    def __init__(self, server):
        self.server = server
        self.devices = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for device in self.devices:
            await device.leave()

    def account(self, name):
        """A new account made with the operator's command: (bare JID, password)."""
        return self.server.add_account(f"{name}-{secrets.token_hex(3)}")

    def device(self, account, kind=Person, **options):
        """A client for an account, not signed in yet."""
        jid, password = account
        device = kind(self.server, jid, password, **options)
        self.devices.append(device)
        return device

    async def online(self, account, **options):
        """A client for an account, signed in, with the roster fetched and available."""
        device = self.device(self.account(account) if isinstance(account, str) else account, **options)
        await device.sign_in()
        await device.come_online()
        return device

    async def friends(self, one, other):
        """Two new people, online, each subscribed to the other."""
        first, second = await self.online(one), await self.online(other)
        await first.befriend(second)
        return first, second
