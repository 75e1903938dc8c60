"""External components (XEP-0114): slixmpp's component class, and biboumi, a gateway to IRC that people run with other servers."""

import asyncio
import contextlib
import shutil
import subprocess

import pytest
from slixmpp import ComponentXMPP
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from conftest import Crowd
from server import answers, end_with_parent, free_ports

SECRET = "a secret that only the two of us know"
PATIENCE_SECONDS = 30
COMMANDS = "http://jabber.org/protocol/commands"


@pytest.fixture
def hub(make_server):
    """A server with two components configured, of which none is connected."""
    server = make_server()
    (server.port_component,) = free_ports(1)
    (server.home / "kim.toml").write_text(
        f'[listen]\ncomponent = ["127.0.0.1:{server.port_component}"]\n'
        + "".join(f'[[component]]\njid = "{name}.localhost"\nsecret = "{SECRET}"\n' for name in ("echo", "irc"))
    )
    server.start()
    yield server
    server.stop()


class Echo(ComponentXMPP):
    """Says back what it is told."""

    def __init__(self, server, jid="echo.localhost", secret=SECRET):
        super().__init__(jid, secret, "127.0.0.1", server.port_component)
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.came_in, self.gone = asyncio.Event(), asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.came_in.set())
        self.add_event_handler("disconnected", lambda _: self.gone.set())
        self.add_event_handler("message", self.echo)

    def echo(self, message):
        if message["type"] in ("chat", "normal"):
            message.reply(f"you said: {message['body']}").send()


@contextlib.asynccontextmanager
async def connected(component):
    component.connect()
    await asyncio.wait_for(component.came_in.wait(), PATIENCE_SECONDS)
    yield component
    await component.disconnect()


async def test_a_component_is_found_and_answers(hub):
    async with Crowd(hub) as people, connected(Echo(hub)) as echo:
        alice = await people.online("alice")
        items = await alice.plugin["xep_0030"].get_items(jid="localhost")
        addresses = {item[0] for item in items["disco_items"]["items"]}
        assert {"echo.localhost", "irc.localhost"} <= addresses

        alice.send_message(mto="anybody@echo.localhost", mbody="hello", mtype="chat")
        answer = await alice.expect_message(body="you said: hello")
        assert answer["from"].bare == "anybody@echo.localhost"
        assert await echo.plugin["xep_0199"].ping(alice.boundjid, ifrom="echo.localhost") > 0
        assert await alice.plugin["xep_0199"].ping("echo.localhost") > 0


async def test_a_component_that_is_not_there_answers_nothing(hub):
    async with Crowd(hub) as people:
        alice = await people.online("alice")
        with pytest.raises(IqError) as refused:
            await alice.plugin["xep_0199"].send_ping("echo.localhost")
        assert refused.value.condition == "service-unavailable"


async def test_a_wrong_secret_does_not_let_in(hub):
    component = Echo(hub, secret="a guess")
    component.connect()
    await asyncio.wait_for(component.gone.wait(), PATIENCE_SECONDS)
    assert not component.came_in.is_set()


@pytest.fixture
def biboumi(hub, tmp_path):
    """The gateway, connected as irc.localhost."""
    program = shutil.which("biboumi")
    if program is None:
        pytest.skip("biboumi is not installed")
    settings = tmp_path / "biboumi.cfg"
    settings.write_text(
        f"hostname=irc.localhost\npassword={SECRET}\nxmpp_server_ip=127.0.0.1\nport={hub.port_component}\n"
        f"db_name={tmp_path}/biboumi.sqlite\nlog_file={tmp_path}/biboumi.log\nlog_level=0\nidentd_port=0\n"
    )
    process = subprocess.Popen([program, str(settings)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, preexec_fn=end_with_parent)
    yield process
    process.terminate()
    process.wait(PATIENCE_SECONDS)


async def test_people_use_a_gateway_to_irc(hub, biboumi):
    assert answers(hub.port_component)
    async with Crowd(hub) as people:
        alice = await people.online("alice")
        for _ in range(PATIENCE_SECONDS * 10):
            # It connects on its own time.
            with contextlib.suppress(IqError):
                info = await alice.plugin["xep_0030"].get_info(jid="irc.localhost")
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the gateway did not come")
        identities = {(kind[0], kind[1]) for kind in info["disco_info"]["identities"]}
        assert ("conference", "irc") in identities
        # It is used by its commands, which run over the same stream both ways.
        items = await alice.plugin["xep_0030"].get_items(
            jid="irc.localhost", node="http://jabber.org/protocol/commands"
        )
        assert "ping" in {item[1] for item in items["disco_items"]["items"]}
        request = alice.make_iq_set(ito="irc.localhost")
        request.append(ET.fromstring(f'<command xmlns="{COMMANDS}" node="ping" action="execute"/>'))
        answer = (await request.send(timeout=PATIENCE_SECONDS)).xml.find(f"{{{COMMANDS}}}command")
        assert answer.get("status") == "completed"
        assert answer.findtext(f"{{{COMMANDS}}}note") == "Pong"
