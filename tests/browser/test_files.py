"""Files on the trial of README: encrypted ones are seen, and one that is refused says why."""

import pytest

from test_conversation import PICTURE, SIDE, conversation

LANGUAGES = {"en-GB": 0, "zh-CN": 1}
MAX = 20_000


@pytest.fixture(scope="module")
def house(make_server):
    server = make_server(KIM__XEP0363_UPLOAD__FILE_BYTES_MAX=str(MAX), KIM__XEP0363_UPLOAD__ACCOUNT_BYTES_MAX=str(2 * MAX))
    yield server
    server.stop()


async def choose(tab, name, content):
    await tab.page.locator("input.fileupload").first.set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content})


async def test_an_encrypted_picture_is_seen_at_localhost(open_tab, people, house):
    """`https://localhost`, as README says: Converse would fetch it without TLS."""
    assert house.url.startswith("https://localhost:")
    alice, bob, _ = await conversation(open_tab, people, house)
    async with alice.page.expect_response(lambda r: r.request.method == "PUT") as put:
        await choose(alice, "one-colour.png", PICTURE)
    assert (await put.value).url.startswith(house.url)
    for tab in (alice, bob):
        await tab.sees_picture(SIDE)
    # And after a reload.
    await bob.page.reload()
    await bob.chatting()
    await bob.sees_picture(SIDE)


async def test_files_on_another_origin_are_sent_and_seen(open_tab, people, make_server):
    """`[xep0363_upload] public_url`: the page may go there, and nowhere else."""
    server = make_server()
    server.stop()
    elsewhere = f"https://127.0.0.1:{server.port_https}"
    server.settings["KIM__XEP0363_UPLOAD__PUBLIC_URL"] = elsewhere
    server.start()
    alice, bob = [await open_tab(who, server) for who in ("alice", "bob")]
    accounts = [people.account(who, server) for who in ("alice", "bob")]
    for tab, own, other in ((alice, *accounts), (bob, *accounts[::-1])):
        tab.known = (*tab.known, elsewhere)
        await tab.sign_in(own)
        await tab.chat_with(other[0])
    for tab in (alice, bob):
        await tab.encrypts()
    async with alice.page.expect_response(lambda r: r.request.method == "PUT") as put:
        await choose(alice, "one-colour.png", PICTURE)
    assert (await put.value).url.startswith(elsewhere)
    await bob.sees_picture(SIDE)
    server.stop()


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_a_file_that_is_too_large_is_told_before_it_is_sent(open_tab, people, house, locale):
    tab = await open_tab(f"alice-{locale}", house, locale=locale)
    await tab.sign_in(people.account("alice", house))
    await tab.go_to("converse/room?jid=lobby@conference.localhost")
    await tab.say("a file comes")
    asked = []
    tab.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: asked.append(str(frame))))
    tab.page.on("request", lambda request: request.method == "PUT" and asked.append(request.url))
    await choose(tab, "huge.png", b"x" * (MAX + 1))
    await tab.sees(("“huge.png” is too large. This server accepts files of up to 19.53 KB.",
                    "“huge.png”过大。此服务器最大支持 19.53 KB 的文件。")[LANGUAGES[locale]], "converse-muc")
    await tab.shot("too large")
    assert not [one for one in asked if "http:upload" in one or "/upload/" in one]


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_a_refused_file_says_what_the_server_says(open_tab, people, house, locale):
    tab = await open_tab(f"alice-{locale}", house, locale=locale, color_scheme="dark", viewport={"width": 375, "height": 720})
    await tab.sign_in(people.account("alice", house))
    await tab.go_to("converse/room?jid=lobby@conference.localhost")
    await tab.say("files come")
    for number in range(2):
        async with tab.page.expect_response(lambda r: r.request.method == "PUT"):
            await choose(tab, f"fits-{number}.png", b"\x89PNG" + b"x" * (MAX - 100))
    await choose(tab, "more.png", b"\x89PNG" + b"x" * 1000)
    await tab.sees(("“more.png” was not sent. The server says: Upload quota reached.",
                    "“more.png”未发送。服务器提示：Upload quota reached.")[LANGUAGES[locale]], "converse-muc")
    # Nothing pretends to be still on its way.
    assert await tab.page.locator("converse-muc progress").count() == 0
    await tab.shot("quota")


async def test_a_guest_is_offered_no_upload(open_tab, house):
    tab = await open_tab("guest", house)
    heard = []
    tab.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    await tab.open("/room/lobby")
    await tab.page.fill("#visit [name=nick]", "Wanda")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.say("no files from me")
    await tab.hears("no files from me")
    # The client has asked the server what there is.
    while not any("disco#items" in frame and "type='result'" in frame for frame in heard):
        await tab.page.wait_for_timeout(20)
    assert not any("http:upload" in frame for frame in heard)
    assert await tab.page.locator(".fa-paperclip, input.fileupload").count() == 0
