"""Fixtures of the federation tests; README.md in this folder is the overview.

Stories run over pairs of servers in both directions: `pair.home` and `pair.away`. Pairs without kIM prove that the stories
and the harness are right. Pairs with kIM are the real tests.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import secrets
import shutil
import signal
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The person with a real client and the helpers for processes are those of the client tests.
sys.path.append(str(ROOT / "tests" / "clients"))

import people as client_people  # noqa: E402

# Nothing here waits for long; a shorter end to a wait for what never comes keeps a failing run bearable.
client_people.PATIENCE_SECONDS = float(os.environ.get("KIM_TEST_PATIENCE", "15"))

import neighbours  # noqa: E402
import network  # noqa: E402
import peer  # noqa: E402
import persons  # noqa: E402
from authority import Authority  # noqa: E402
from server import TARGET  # noqa: E402

CONTROL = [("prosody", "ejabberd")]
CONTROL_ALL = [*CONTROL, ("prosody-new", "ejabberd-new")]
PARTNERS = ["prosody", "ejabberd", "prosody-new", "ejabberd-new"]
ADDRESSES = {kind: f"127.0.1.{number}" for number, kind in enumerate([*PARTNERS, "kim"], 10)}

# Where a neighbour is known to depart from the specification: (story, side, kind). An entry for the older version covers the
# newer one too, unless that has its own. These stories must fail (strict xfail): when a newer version gets one right, its
# line goes.
DEPARTURES = {
    ("test_nobody_there", "away", "kim"): "tells strangers nothing about who exists (RFC 6121 8.5.1 allows silence)",
    ("test_a_forged_id_is_not_believed", "away", "prosody"): "leaves a forged stanza-id of somebody elsewhere in place",
    ("test_a_message_to_one_device_of_who_blocks", "home", "prosody"): "drops the message without an error",
    ("test_a_blocked_contact", "home", "ejabberd"): "does not send unavailable to whom it blocks",
    ("test_a_blocked_contact", "home", "prosody-new"): "drops the message without an error",
    ("test_a_blocked_domain", "home", "prosody-new"): "drops the message without an error",
    ("test_one_does_not_write_to_whom_one_blocks", "home", "ejabberd"): "does not say <blocked/>",
    ("test_unsubscribe", "away", "prosody"): "does not send unavailable to who unsubscribes (RFC 6121 3.3.3)",
    ("test_remove_from_the_roster", "away", "prosody"): "does not send unavailable to who unsubscribes (RFC 6121 3.3.3)",
    ("test_news_end_with_the_subscription", "away", "ejabberd"): "goes on sending news",
    ("test_nobody_subscribes_somebody_else", "away", "prosody"): "says forbidden",
    ("test_an_empty_key", "target", "prosody"): "does not answer",
    ("test_a_good_certificate_is_enough[by_xmpp_addr]", "target", "prosody"): "does not look at id-on-xmppAddr that is alone",
    ("test_dialback_to_somebody_who_is_not_here", "target", "prosody"): "says unsupported-stanza-type",
    ("test_a_domain_that_does_not_exist_calls", "target", "prosody"): "never answers",
    ("test_a_domain_that_was_not_proved", "target", "prosody"): "says not-authorized",
    ("test_its_own_domain_from_outside", "target", "prosody"): "says not-authorized",
    ("test_a_stream_that_is_wrong[namespace]", "target", "prosody"): "takes it",
    ("test_a_stream_that_is_wrong[comment]", "target", "prosody"): "says not-well-formed",
    ("test_a_stream_that_is_wrong[doctype]", "target", "prosody"): "says not-well-formed",
    ("test_a_stanza_without_an_address[from]", "target", "prosody"): "says not-authorized",
    ("test_a_stanza_without_an_address[to]", "target", "prosody"): "says host-unknown",
    ("test_a_good_certificate_is_enough[server]", "target", "ejabberd"): "wants clientAuth, and dialback without it",
    ("test_a_good_certificate_is_enough[by_xmpp_addr]", "target", "ejabberd"): "closes the connection",
    ("test_a_good_certificate_is_enough[by_srv_name]", "target", "ejabberd"): "does not look at SRV names",
    ("test_the_name_of_somebody_else", "target", "ejabberd"): "does not look at the name that is asked for",
    ("test_dialback_to_somebody_who_is_not_here", "target", "ejabberd"): "says not-allowed",
    ("test_a_stream_that_is_wrong[namespace]", "target", "ejabberd"): "says invalid-xml",
    ("test_a_stream_that_is_wrong[comment]", "target", "ejabberd"): "takes it",
    ("test_a_stream_that_is_wrong[doctype]", "target", "ejabberd"): "says not-well-formed",
    ("test_both_directions_on_one_stream", "target", "ejabberd"): "does not offer XEP-0288",
    ("test_limits_are_told", "target", "prosody"): "does not have XEP-0478",
    ("test_limits_are_told", "target", "prosody-new"): None,
    ("test_limits_are_told", "target", "ejabberd"): "does not have XEP-0478",
    ("test_a_key_in_the_name_service[signed]", "target", "ejabberd"): "does not have DANE",
    ("test_a_wrong_key_in_the_name_service", "target", "ejabberd"): "does not have DANE",
    ("test_without_tls_nothing_is_said", "target", "prosody"): "keeps the message without saying so",
}

_folder = None
_numbers = itertools.count(1)


def kim_federates():
    """Whether this version of kIM has the settings for federation. From then on its stories always run."""
    return "\n[s2s]" in (ROOT / "kim.toml").read_text()


def pytest_addoption(parser):
    parser.addoption("--pairs", choices=["usual", "all"], default="usual",
                     help="all: with the newer neighbours too")


def pytest_configure(config):
    # `make test` ends us with SIGTERM: end as after Ctrl-C, so that the fixtures stop their servers.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if config.option.collectonly:
        return
    global _folder
    _folder = pathlib.Path(tempfile.mkdtemp(prefix="kim-federation-"))
    network.enter(_folder)


def pytest_unconfigure(config):
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)


def partners(every):
    """The kinds of neighbours in this run."""
    return [kind for kind in PARTNERS if every or not kind.endswith("-new")]


def pytest_generate_tests(metafunc):
    if "pair" in metafunc.fixturenames:
        every = metafunc.config.getoption("--pairs") == "all"
        control = CONTROL_ALL if every else CONTROL
        pairs = [*control, *(("kim", kind) for kind in partners(every))]
        both = [*pairs, *((away, home) for home, away in pairs)]
        # Those of one pair one after another.
        both.sort(key=lambda pair: sorted(pair))
        metafunc.parametrize("pair", both, ids=[f"{home}-to-{away}" for home, away in both], indirect=True, scope="session")
    if "target" in metafunc.fixturenames:
        every = metafunc.config.getoption("--pairs") == "all"
        metafunc.parametrize("target", [*partners(every), "kim"], indirect=True, scope="session")


def is_a(kind, described):
    """Whether an entry applies to this kind of server; one for the older version covers the newer one too."""
    return kind == described or (kind or "").removesuffix("-new") == described


def pytest_collection_modifyitems(config, items):
    """Marks the known departures. Until kIM federates, its stories run only on request: `-k kim`."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        kinds = dict(zip(("home", "away"), params.get("pair", ())), target=params.get("target"))
        for (story, side, kind), why in DEPARTURES.items():
            name, _, case = story.rstrip("]").partition("[")
            why = DEPARTURES.get((story, side, kinds.get(side)), why)
            if why and item.originalname == name and is_a(kinds.get(side), kind) and case in (*params.values(), ""):
                item.add_marker(pytest.mark.xfail(reason=f"{kind} {why}", strict=True))
    if kim_federates() or "kim" in config.option.keyword:
        return
    of_kim = [item for item in items if "kim" in item.name.partition("[")[2]]
    if of_kim:
        config.hook.pytest_deselected(items=of_kim)
        items[:] = [item for item in items if item not in of_kim]


class World:
    """What all servers share, and the servers started so far."""

    def __init__(self, folder, output):
        self.folder, self.output = folder, output
        self.output.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder / "authority")
        self.names = network.Names(folder / "names", output)
        self.servers = {}

    def server(self, kind):
        """The shared server of this kind; started on first use."""
        return self.start(kind, kind, ADDRESSES[kind])

    def start(self, kind, name, address, **settings):
        """A server with its own settings. After a failed start it is not tried again."""
        if not neighbours.KINDS[kind].installed():
            pytest.skip(f"{kind} is not installed")
        if name not in self.servers:
            self.servers[name] = None
            self.servers[name] = neighbours.KINDS[kind](self, name, address, **settings).start()
        if self.servers[name] is None:
            pytest.fail(f"{name} could not be started; see {self.output / name}")
        return self.servers[name]


@pytest.fixture(scope="session")
def world():
    output = pathlib.Path(os.environ.get("KIM_TEST_OUTPUT", TARGET / "test-output")) / "federation"
    shutil.rmtree(output, ignore_errors=True)
    world = World(_folder, output)
    # slixmpp loads the system's root certificates for every client, which takes longer than a whole sign-in. None is needed here.
    os.environ["SSL_CERT_FILE"] = str(world.authority.file)
    world.names.start()
    yield world
    for server in world.servers.values():
        if server is not None:
            server.stop()
    world.names.stop()


@dataclasses.dataclass
class Pair:
    home: neighbours.Neighbour
    away: neighbours.Neighbour

    def departs(self, *kinds):
        """Whether one of these kinds of servers is here; for what they are known to do otherwise."""
        return any(server.kind in kinds for server in (self.home, self.away))


@pytest.fixture(scope="session")
def pair(request, world):
    home, away = request.param
    return Pair(world.server(home), world.server(away))


@pytest.fixture(scope="session")
def target(request, world):
    """The server under test in the stories of a hand-written peer."""
    return world.server(request.param)


@pytest.fixture(autouse=True)
def short_waits(request, monkeypatch):
    """A known departure is often something that never arrives: do not wait long for it."""
    if request.node.get_closest_marker("xfail"):
        for module in (client_people, persons, peer):
            monkeypatch.setattr(module, "PATIENCE_SECONDS", 2)
        monkeypatch.setitem(persons.PATIENT, "timeout", 2)


@pytest.fixture
async def people():
    async with persons.Crowd() as crowd:
        yield crowd


@pytest.fixture
async def peers(world):
    """A function that makes a listening peer with a domain of its own."""
    async with contextlib.AsyncExitStack() as stack:
        async def make(domain=None, **options):
            number = next(_numbers)
            domain = domain or f"peer-{secrets.token_hex(4)}.plain"
            address = f"127.0.3.{1 + number % 250}"
            world.names.server(domain, address, services=())
            certificate = options.pop("certificate", None)
            if isinstance(certificate, str):
                certificate = getattr(world.authority, certificate)(domain)
            return await stack.enter_async_context(peer.Peer(world, domain, address, certificate, **options))

        yield make


@pytest.fixture(name="peer")
async def peer_fixture(peers):
    return await peers()


@pytest.fixture
async def bob(target, people):
    return await people.online(target, "bob")
