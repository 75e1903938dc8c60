"""The pages around the client: what they promise, where they lead, and that everybody can use them. A picture of each page in each
state (light, dark, phone, Chinese) is kept for people to look at."""

import json
import secrets

import pytest

from test_closed_doors import make_room
from test_conversation import PICTURE
from test_invitation import invite

LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 720}},
    "chinese": {"locale": "zh-CN"},
    "chinese-phone-dark": {"locale": "zh-CN", "viewport": {"width": 375, "height": 720}, "color_scheme": "dark"},
}


async def everything(people):
    """A room with a name and a description in which somebody is, and an invitation."""
    mira = await people.online("mira", "xep_0045")
    room = await make_room(mira, publicroom="1", roomname="The garden", roomdesc="Plants, bulbs and what grows from them")
    link = (await invite(mira))["landing-url"]
    return {
        "home": "/",
        "register": "/register",
        "rooms": "/rooms",
        "room": f"/room/{room}",
        "no-room": "/room/nowhere",
        "invitation": "/invite/" + link.split("/invite/")[1],
        "no-invitation": "/invite/none",
        "no-page": "/nothing/here",
    }


@pytest.mark.parametrize("look", LOOKS)
async def test_everybody_can_read_every_page(open_tab, people, look):
    paths = await everything(people)
    tab = await open_tab(look, **LOOKS[look])
    width = LOOKS[look].get("viewport", {}).get("width", 1180)
    wrong = {}
    for name, path in paths.items():
        await tab.open(path)
        await tab.shot(name)
        found = await tab.violations()
        if found:
            wrong[name] = found
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is too wide"
    assert not wrong, json.dumps(wrong, indent=1)


async def test_the_list_of_rooms_shows_who_is_there_and_what_it_is_about(open_tab, people):
    paths = await everything(people)
    tab = await open_tab("reader")
    await tab.open("/rooms")
    entry = tab.page.locator(f"a[href='{paths['room']}']")
    assert await entry.locator("strong").inner_text() == "The garden"
    assert await entry.locator(".quiet").inner_text() == "Plants, bulbs and what grows from them"
    assert await entry.locator(".badge").inner_text() == "1 online"


async def test_no_dot_is_left_at_the_end_of_a_line(open_tab, people):
    paths = await everything(people)
    tab = await open_tab("phone", viewport={"width": 340, "height": 720})
    await tab.open(paths["room"])
    facts = tab.page.locator(".facts")
    address, count = [await facts.locator(f"> :nth-child({place})").bounding_box() for place in (1, 2)]
    assert count["y"] >= address["y"] + address["height"], "they are in two lines"
    assert "·" not in await facts.inner_text()
    # The dots are in what is clipped off, left of where the text begins.
    title = await tab.page.locator("#title").bounding_box()
    code = await facts.locator("code").bounding_box()
    assert abs(code["x"] - title["x"]) < 1


async def test_a_room_says_how_long_it_keeps_what_a_guest_says(open_tab, make_server):
    for settings, kept in [
        ({}, "for as long as the room exists"),
        ({"KIM__ROOMS__GUEST_RETENTION_DAYS": "14"}, "for 14 days"),
        ({"KIM__ROOMS__RETENTION_DAYS": "1"}, "for one day"),
    ]:
        server = make_server(**settings)
        tab = await open_tab("guest", server)
        await tab.open("/room/lobby")
        await tab.sees(kept, "#kept")
        text = await tab.page.locator("main").inner_text()
        assert "nothing about you is kept" not in text
        server.stop()


@pytest.mark.parametrize("locale, words", [("en-GB", "Page not found"), ("zh-CN", "找不到页面")])
async def test_an_address_where_nothing_is(open_tab, locale, words):
    tab = await open_tab(f"reader-{locale}", locale=locale)
    response = await tab.open("/no/such/page")
    assert response.status == 404
    await tab.sees(words)
    await tab.page.locator("main a.button").click()
    await tab.page.locator("#sign-in").wait_for()
    # Programs get a line, not a page.
    answer = await tab.context.request.get(tab.server.url + "/no/such/page", headers={"Accept": "*/*"})
    assert answer.status == 404 and "text/plain" in answer.headers["content-type"]
    icon = await tab.context.request.get(tab.server.url + "/favicon.ico")
    assert icon.ok and (await icon.body())[:4] == b"\0\0\1\0"


async def test_whom_to_tell_about_a_vulnerability(open_tab, make_server):
    server = make_server(KIM__CONTACT__SECURITY='["mailto:security@example.org", "xmpp:admin@example.org"]')
    tab = await open_tab("researcher", server)
    answer = await tab.context.request.get(server.url + "/.well-known/security.txt")
    text = await answer.text()
    assert "Contact: mailto:security@example.org\nContact: xmpp:admin@example.org\nExpires: " in text
    server.stop()


@pytest.mark.parametrize("locale, words", [("en-GB", "the connection is not encrypted"), ("zh-CN", "当前连接未加密")])
async def test_without_tls_the_page_leads_to_the_encrypted_one(open_tab, server, locale, words):
    tab = await open_tab(f"reader-{locale}", locale=locale)
    plain = f"http://localhost:{server.port_http}"
    tab.known = (*tab.known, plain)
    for path in ["/", "/room/lobby"]:
        await tab.page.goto(plain + path)
        await tab.sees(words)
        assert await tab.page.locator("form").count() == 0, "a form that cannot work"
        link = tab.page.locator("#needs-https a")
        assert await link.get_attribute("href") == server.url + path
    await tab.shot("no tls")
    assert not await tab.violations()
    await tab.page.goto(plain + "/")
    await tab.page.locator("#needs-https a").click()
    await tab.page.locator("#sign-in").wait_for()
    assert tab.page.url == server.url + "/"


@pytest.mark.parametrize("locale, words", [
    ("en-GB", ("A username cannot contain spaces.", "cannot contain any of these characters", "characters that are not supported")),
    ("zh-CN", ("用户名不能包含空格。", "用户名不能包含以下字符", "此用户名含有不支持的字符。")),
])
async def test_a_username_that_cannot_be_is_told_why(open_tab, locale, words):
    tab = await open_tab(f"newcomer-{locale}", locale=locale)
    await tab.open("/register")
    for name, why in zip(["al ice", "al/ice", "al\U0001f600ice"], words):
        await tab.register(name, "a few words to remember")
        await tab.sees(why)
    await tab.shot("refused")


async def test_the_keyboard_alone_gets_through(open_tab, people):
    """Sign in, say something in a chat, send a file, enter a room: not one click. The chat itself is opened by its address."""
    jid, password = people.account("alice")
    bob = (await people.online("bob")).boundjid.bare
    tab = await open_tab("alice")
    page = tab.page
    await tab.open("/")

    async def tab_to(selector, presses=80, key="Tab"):
        """Presses Tab until this has the focus, and that can be seen."""
        for _ in range(presses):
            if await page.evaluate("selector => Boolean(document.activeElement?.matches(selector))", selector):
                return
            await page.keyboard.press(key)
        where = await page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        raise AssertionError(f"{selector} is not reached by {key}: the focus is on {where}")

    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.matches('.skip')"), "the first stop skips to the content"
    await page.keyboard.press("Enter")
    await tab_to("#sign-in [name=name]")
    await page.keyboard.type(jid.split("@")[0])
    await tab_to("#sign-in [name=password]")
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")
    await tab.chatting()
    await page.wait_for_timeout(500)

    await tab.chat_with(bob)
    await tab_to("textarea.chat-textarea")
    text = f"typed {secrets.token_hex(3)}"
    await page.keyboard.type(text)
    await page.keyboard.press("Enter")
    # The other has no keys: the client asks before it sends something in the clear.
    await page.locator(".kim-held").wait_for()
    await tab_to(".kim-send-clear", key="Shift+Tab")
    await page.keyboard.press("Enter")
    await tab.hears(text)
    await page.locator(".kim-held").wait_for(state="hidden")
    await tab_to("textarea.chat-textarea")
    await page.wait_for_function("document.activeElement.matches('textarea.chat-textarea') && !document.activeElement.value")
    await tab_to("button:has(.fa-paperclip)", key="Shift+Tab")
    async with page.expect_file_chooser() as chooser:
        await page.keyboard.press("Enter")
    async with page.expect_response(lambda response: response.request.method == "PUT") as put:
        await (await chooser.value).set_files({"name": "one-colour.png", "mimeType": "image/png", "buffer": PICTURE})
    assert (await put.value).status == 201
    await tab.shot("by keyboard")

    # The door of a room, as a guest.
    guest = await open_tab("guest")
    await guest.open("/room/lobby")
    await guest.page.keyboard.type("Gerda")
    await guest.page.keyboard.press("Enter")
    await guest.chatting()
    await guest.page.locator("textarea.chat-textarea:visible").wait_for()
    page = guest.page
    await tab_to("textarea.chat-textarea")
    await page.keyboard.type("typed in the lobby")
    await page.keyboard.press("Enter")
    await guest.hears("typed in the lobby")


# What of the client is ours: the colours of its themes. The elements are Converse's own.
PARTS = {
    "messages": "converse-chat .chat-content, converse-muc .chat-content",
    "box": "converse-message-form, converse-muc-message-form",
    "contact question": "converse-chat converse-contact-approval-alert",
}


@pytest.mark.parametrize("look", ["light", "dark", "phone", "chinese-phone-dark"])
async def test_the_client_can_be_read_in_our_colours(open_tab, people, look):
    account, (bob, _) = people.account("alice"), people.account("bob")
    tab = await open_tab(look, **LOOKS[look])
    await tab.sign_in(account)
    await tab.shot("signed in")
    await tab.chat_with(bob)
    await tab.say("can you read this?")
    # Bob never signed in, so he has no keys: the client asks before it sends something in the clear.
    await tab.page.locator(".kim-held").wait_for()
    wrong = {"question": await tab.violations(".kim-held")}
    await tab.page.click(".kim-send-clear")
    await tab.hears("can you read this?")
    await tab.shot("a chat")
    for part, selector in PARTS.items():
        wrong[part] = await tab.violations(selector, ["color-contrast"])
    width = LOOKS[look].get("viewport", {}).get("width", 1180)
    assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not any(wrong.values()), json.dumps(wrong, indent=1)
