"""Converse.js as its authors publish it, on a page of another origin that `[http] origins` lets in: none of our settings,
none of our scripts."""

import functools
import http.server
import json
import secrets
import threading

import pytest
from slixmpp import Message

from server import ROOT

CONVERSE = ROOT / "web" / "node_modules" / "converse.js" / "dist"

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>A page of somebody else</title>
<link rel="stylesheet" href="/dist/converse.min.css">
<script type="module" src="/dist/converse.min.js"></script>
<script type="module">converse.initialize(SETTINGS);</script>
<body class="converse-fullscreen"></body>
</html>
"""


class Elsewhere(http.server.SimpleHTTPRequestHandler):
    """Serves Converse under /dist/ and its page at /."""

    def do_GET(self):
        if self.path != "/":
            return super().do_GET()
        page = PAGE.replace("SETTINGS", json.dumps(self.server.settings)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def translate_path(self, path):
        return super().translate_path(path.removeprefix("/dist"))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page():
    """The other origin; a test sets what Converse is told."""
    assert CONVERSE.exists(), "no Converse here: tests/support/web.sh fetches it"
    handler = functools.partial(Elsewhere, directory=str(CONVERSE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server(make_server, page):
    server = make_server(KIM__HTTP__ORIGINS=page.url)
    yield server
    server.stop()


def says(body):
    return lambda s: isinstance(s, Message) and s["type"] == "chat" and s["body"] == body


async def open_page(open_tab, page, server, door):
    """Opens the page for somebody."""
    at = server.url.removeprefix("https://")
    doors = {
        "websocket": {"websocket_url": f"wss://{at}/xmpp-websocket"},
        "bosh": {"bosh_service_url": f"https://{at}/http-bind"},
    }
    page.settings = {"discover_connection_methods": False, "view_mode": "fullscreen", "assets_path": "/dist/", **doors[door]}
    tab = await open_tab("alice", server)
    ours = (page.url, f"https://{at}", "data:", "blob:")
    # It would fetch the logos of its sponsors and a list of providers. Nothing leaves this machine.
    tab.known = ("",)
    await tab.context.route(lambda url: not url.startswith(ours), lambda route: route.abort())
    await tab.page.goto(page.url)
    return tab


async def say_once_connected(tab, text):
    """After a reload the chat is shown from memory, before there is a connection: what is said then is refused, and stays in
    the box."""
    sent = tab.messages().get_by_text(text, exact=True)
    refused = tab.page.get_by_text("your message could not be sent")
    for _ in range(60):
        await tab.say(text)
        await sent.or_(refused).first.wait_for()
        if not await refused.count():
            return
        await tab.page.locator(".modal.show .modal-footer button").click()
        await refused.wait_for(state="hidden")
        await tab.page.wait_for_timeout(500)


async def is_heard(tab, bob, text, door):
    """Says a text until bob hears it. A reload can lose a request that had its number and had not left: the server ends a
    session in which a number is missing (XEP-0124 §14.2), and Converse takes what was said meanwhile for sent."""
    attempts = 1 if door == "websocket" else 5
    for attempt in range(1, attempts + 1):
        said = f"{text}, attempt {attempt}"
        await say_once_connected(tab, said)
        try:
            return await bob.expect("what she says then", says(said))
        except AssertionError:
            if attempt == attempts:
                raise


@pytest.mark.parametrize("door", ["websocket", "bosh"])
async def test_somebody_signs_in_talks_and_goes_on_after_a_reload(open_tab, people, page, server, door):
    jid, password = people.account("alice")
    log_before = len(server.log.read_text())
    bob = await people.online("bob")
    tab = await open_page(open_tab, page, server, door)
    await tab.page.fill("#converse-login input[name=jid]", jid)
    await tab.page.fill("#converse-login input[name=password]", password)
    await tab.page.check("#converse-login input[name=trusted]")
    await tab.page.click("#converse-login [type=submit]")
    await tab.sees(jid)
    await tab.chat_with(bob.boundjid.bare)
    await tab.say("hello from elsewhere")
    heard = await bob.expect("her message", says("hello from elsewhere"))
    bob.say(heard["from"], "hello, Alice")
    await tab.hears("hello, Alice")

    for number in ("first", "second"):
        # It may send with a resource that it made up: its bare address is its own, the server knows the rest.
        await tab.page.reload()
        await tab.hears("hello, Alice")
        heard = await is_heard(tab, bob, f"after the {number} reload", door)
        assert heard["from"].bare == jid
        bob.say(heard["from"], f"welcome at the {number}")
        await tab.hears(f"welcome at the {number}")
    await tab.shot(f"{door} after reloads")
    assert "invalid-from" not in server.log.read_text()[log_before:]
