"""Invitations and ad-hoc commands with a real client: a link, a registration with its token, contacts at once (XEP-0401,
XEP-0445), and the operator's commands in a client's menu (XEP-0050, XEP-0133)."""

import re
import secrets

import pytest
from slixmpp.exceptions import IqError
from slixmpp.stanza import Iq, StreamFeatures
from slixmpp.xmlstream import ET, ElementBase, register_stanza_plugin

from conftest import Crowd
from people import PATIENCE_SECONDS, Person, SignInFailed

COMMANDS = "http://jabber.org/protocol/commands"
PATIENT = {"timeout": PATIENCE_SECONDS}
INVITE = "urn:xmpp:invite#invite"


class TokenFeature(ElementBase):
    """XEP-0445 §3: the server takes tokens."""

    name = "register"
    namespace = "urn:xmpp:ibr-token:0"
    plugin_attrib = "ibr_token"
    interfaces = set()


class Invited(Person):
    """A newcomer whose client shows its token before it registers, and then signs in."""

    def __init__(self, *args, token, **options):
        super().__init__(*args, **options)
        self.token, self.refused = token, None
        register_stanza_plugin(StreamFeatures, TokenFeature)
        self.register_feature("ibr_token", self._redeem, restart=False, order=40)

    async def _redeem(self, _features):
        shown = self.make_iq_set(ito=self.kim.domain)
        shown.xml.append(preauth(self.token))
        # The library holds back what it does not know to belong before sign-in.
        self.send_raw(str(shown))
        answer = await self.expect("an answer", lambda got: isinstance(got, Iq) and got["id"] == shown["id"])
        if answer["type"] == "error":
            self.refused = answer["error"]["condition"]
            return False
        wanted = self.make_iq_set(sub=None)
        wanted["register"]["username"] = self.requested_jid.user
        wanted["register"]["password"] = self.password
        try:
            await wanted.send(**PATIENT)
        except IqError as error:
            self.refused = error.iq["error"]["condition"]
        return False


def preauth(token):
    return ET.Element("{urn:xmpp:pars:0}preauth", {"token": token})


def token_of(text):
    return re.search(r"preauth=([a-z2-7]{32})", text).group(1)


@pytest.fixture(scope="module")
def closed(make_server):
    """A server on which nobody registers who was not invited."""
    server = make_server()
    open_to_all = server.environment
    server.environment = lambda: {**open_to_all(), "KIM__REGISTRATION__OPEN": "false"}
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def crowd(closed):
    async with Crowd(closed) as crowd:
        yield crowd


async def execute(client, node):
    """Runs a command that asks nothing, with the client's own plugin; gives the values of its form."""
    client.register_plugin("xep_0050")
    done = await client.plugin["xep_0050"].send_command(client.kim.domain, node, **PATIENT)
    assert done["command"]["status"] == "completed"
    return done["command"]["form"].get_values()


async def test_romeo_invites_juliet(crowd):
    romeo = await crowd.online("romeo")
    invitation = await execute(romeo, INVITE)
    assert invitation["uri"].startswith(f"xmpp:{romeo.boundjid.bare}?roster;preauth=")
    assert invitation["uri"].endswith(";ibr=y")
    token = token_of(invitation["uri"])

    account = (f"juliet-{secrets.token_hex(3)}@{crowd.server.domain}", "Wherefore art thou")
    juliet = crowd.device(account, kind=Invited, token=token)
    await juliet.sign_in()
    assert juliet.refused is None
    roster = await juliet.come_online()
    await romeo.expect_push(account[0], subscription="both")
    await romeo.expect_presence(juliet.boundjid.full, "available")
    assert romeo.boundjid.bare in str(roster)

    # The link lets nobody else in.
    late = crowd.device((f"late-{secrets.token_hex(3)}@{crowd.server.domain}", "x"), kind=Invited, token=token)
    with pytest.raises(SignInFailed):
        await late.sign_in()
    assert late.refused == "item-not-found"


async def test_the_operators_link_and_a_token_that_is_none(crowd):
    link = crowd.server.run("invite", "--expires", "1h")
    account = (f"nurse-{secrets.token_hex(3)}@{crowd.server.domain}", "secret")
    invented = crowd.device(account, kind=Invited, token="a" * 32)
    with pytest.raises(SignInFailed):
        await invented.sign_in()
    assert invented.refused == "item-not-found"
    nurse = crowd.device(account, kind=Invited, token=token_of(link))
    await nurse.sign_in()
    await nurse.come_online()


async def test_an_administrator_uses_commands(crowd):
    admin = await crowd.online(crowd.server.add_account("admin"))
    alice = await crowd.online("alice")
    admin.register_plugin("xep_0050")
    commands = admin.plugin["xep_0050"]
    found = await admin.plugin["xep_0030"].get_items(crowd.server.domain, node=COMMANDS, **PATIENT)
    nodes = {item[1] for item in found["disco_items"]["items"]}
    assert {INVITE, "urn:xmpp:invite#create-account", "http://jabber.org/protocol/admin#announce"} <= nodes

    node = "http://jabber.org/protocol/admin#announce"
    asked = await commands.send_command(crowd.server.domain, node, **PATIENT)
    assert asked["command"]["status"] == "executing" and asked["command"]["actions"] == {"complete"}
    form = asked["command"]["form"]
    form["type"] = "submit"
    form.set_values({"announcement": "The play begins."})
    done = await commands.send_command(
        crowd.server.domain, node, action="complete", sessionid=asked["command"]["sessionid"], payload=form, **PATIENT
    )
    assert done["command"]["status"] == "completed"
    heard = await alice.expect_message("The play begins.")
    assert heard["type"] == "headline"

    with pytest.raises(IqError) as refused:
        alice.register_plugin("xep_0050")
        await alice.plugin["xep_0050"].send_command(crowd.server.domain, node, **PATIENT)
    assert refused.value.iq["error"]["condition"] == "forbidden"
