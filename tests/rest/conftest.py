"""One server for all tests of the REST API's document, and the accounts that they act for."""

import signal

import pytest
import requests

from server import Server


class RestServer(Server):
    """A server without limits on rates: the requests come as fast as they can be made, with passwords that are wrong."""

    def environment(self):
        return {
            **super().environment(),
            "KIM__LIMITS__ENABLED": "false",
            "KIM__LIMITS__ACCOUNT_FAILURES_BURST": "10000",
        }

    @property
    def url(self):
        return f"https://localhost:{self.port_https}"

    def login(self, jid, password, **what):
        body = {"username": jid, "password": password, **what}
        answer = requests.post(f"{self.url}/api/login", json=body, verify=str(self.certificate), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


def pytest_configure(config):
    # `make test` ends us with SIGTERM: end as after Ctrl-C, so that the fixtures stop their servers.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Stopped in order at the end, which fails if it logged an error or a panic."""
    server = RestServer("rest-1", tmp_path_factory.mktemp("rest-1")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def account(server):
    """(bare JID, password) of somebody who is there to be exercised."""
    return server.add_account("alice")


@pytest.fixture(scope="session")
def neighbour(server):
    """Somebody else, with contacts, keys and messages that can be looked for."""
    return server.add_account("bob")
