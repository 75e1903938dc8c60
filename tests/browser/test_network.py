"""Networks that let no WebSocket through: the client of the page falls back to BOSH (XEP-0124), which is plain requests."""

from test_guest import enter, says


# What a strict proxy does: the server never hears of the handshake, and the answer begins no WebSocket.
BLOCK = """
window.WebSocket = class extends WebSocket {
    constructor(url, protocols) { super(url.replace('/xmpp-websocket', '/blocked'), protocols); }
};
"""


async def behind_a_proxy(tab):
    """Puts a tab into such a network; gives the requests of BOSH that it makes from then on."""
    asked = []
    tab.page.on("request", lambda request: request.url.endswith("/http-bind") and asked.append(request.url))
    await tab.page.add_init_script(BLOCK)
    return asked


async def test_a_guest_talks_where_no_websocket_gets_through(open_tab, people):
    room = "lobby@conference.localhost"
    mira = await people.online("mira", "xep_0045")
    await enter(mira, room, "mira")
    tab = await open_tab("guest")
    asked = await behind_a_proxy(tab)
    await tab.open("/room/lobby")
    await tab.page.fill("#visit [name=nick]", "Walter")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.say("past the proxy")
    heard = await mira.expect("the guest's message", says("past the proxy"))
    assert heard["from"] == f"{room}/Walter"
    mira.send_message(room, "welcome, Walter", mtype="groupchat")
    await tab.hears("welcome, Walter")
    assert asked

    # The page again: the session goes on.
    await tab.page.reload()
    await tab.chatting()
    await tab.say("still past it")
    heard = await mira.expect("the guest again", says("still past it"))
    assert heard["from"] == f"{room}/Walter"


async def test_an_account_is_made_and_used_where_no_websocket_gets_through(open_tab, people, make_server):
    open_house = make_server(KIM__REGISTRATION__OPEN="true")
    tab = await open_tab("nora", server=open_house)
    asked = await behind_a_proxy(tab)
    await tab.open("/register")
    await tab.register("nora", "correct horse battery staple")
    await tab.chatting()
    assert asked
    await tab.page.reload()
    await tab.chatting()
