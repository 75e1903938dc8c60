"""The first minutes: what somebody sees who has just signed up, and how they find each other."""

import re
import secrets

import pytest
from slixmpp import Presence

from test_closed_doors import make_room

LANGUAGES = {"en-GB": 0, "zh-CN": 1}
PASSWORD = "a few words to remember"


@pytest.fixture(scope="module")
def server(make_server):
    # More newcomers come from this address than one would.
    server = make_server(KIM__LIMITS__REGISTRATIONS_PER_ADDRESS_PER_HOUR="100")
    yield server
    server.stop()


@pytest.fixture(params=LANGUAGES)
def locale(request):
    return request.param


async def sign_up(tab, name="nora"):
    name = f"{name}-{secrets.token_hex(3)}"
    await tab.open("/register")
    await tab.register(name, PASSWORD)
    await tab.chatting()
    return name


async def test_somebody_who_signs_up_is_in_the_lobby(open_tab, people, locale):
    tab = await open_tab(f"nora-{locale}", locale=locale)
    name = await sign_up(tab)
    await tab.page.locator('.open-room[data-room-jid="lobby@conference.localhost"]').wait_for()
    await tab.say("hello, everybody")
    await tab.hears("hello, everybody")
    await tab.sees(("What next?", "接下来")[LANGUAGES[locale]], ".kim-next")
    await tab.shot("first sight")
    # The tab says where one is.
    await tab.page.wait_for_function("document.title === 'lobby · localhost'")
    # The picture: the profile, where it is set.
    await tab.page.click(".kim-next-picture")
    await tab.page.locator("converse-profile-modal input[type=file], converse-profile-modal converse-image-picker").first.wait_for()
    await tab.shot("profile")
    await tab.page.keyboard.press("Escape")
    await tab.page.locator("converse-profile-modal.show").wait_for(state="hidden")
    # Apps: a page with several.
    async with tab.context.expect_page() as opened:
        await tab.page.click(".kim-next-app")
    apps = await opened.value
    for app in ("Conversations", "Monal", "Gajim"):
        await apps.get_by_text(app).first.wait_for()
    await apps.close()
    # Whoever has seen enough hides the list, and can still invite.
    await tab.page.click(".kim-next-hide")
    await tab.page.locator(".kim-next").wait_for(state="detached")
    await tab.page.locator(".kim-invite-button").wait_for()
    await tab.page.reload()
    await tab.chatting()
    await tab.page.locator(".kim-invite-button").wait_for()
    assert await tab.page.locator(".kim-next").count() == 0
    # Elsewhere the account has its rooms too.
    other = await open_tab(f"elsewhere-{locale}", locale=locale)
    await other.sign_in((f"{name}@localhost", PASSWORD))
    await other.page.locator('.open-room[data-room-jid="lobby@conference.localhost"]').wait_for()


async def test_on_a_phone_the_lists_come_first(open_tab, locale):
    tab = await open_tab(f"nora-{locale}", locale=locale, viewport={"width": 375, "height": 720}, color_scheme="dark")
    await sign_up(tab)
    room = tab.page.locator('.open-room[data-room-jid="lobby@conference.localhost"]')
    await room.wait_for()
    await tab.page.locator(".kim-next").wait_for()
    await tab.shot("first sight")
    assert await tab.page.evaluate("document.documentElement.scrollWidth") <= 375
    await room.click()
    await tab.say("hello from a phone")
    await tab.hears("hello from a phone")
    await tab.shot("lobby")


async def test_the_room_of_an_invitation_is_open(open_tab, people, server):
    mira = await people.online("mira", "xep_0045")
    room = await make_room(mira, publicroom="0", roomname="Mira's reading circle")
    link = server.run("invite", "--room", f"{room}@conference.localhost")
    link = re.search(r"https://\S+/invite/\S+", link).group()
    tab = await open_tab("nora")
    await tab.page.goto(link)
    await tab.register(f"nora-{secrets.token_hex(3)}", PASSWORD)
    await tab.chatting()
    await tab.sees("Mira's reading circle", "converse-muc-heading")
    await tab.page.locator('.open-room[data-room-jid="lobby@conference.localhost"]').wait_for()
    await tab.say("here I am")
    await tab.hears("here I am")
    await tab.shot("in the circle")


async def test_inviting_is_one_click(open_tab, people, locale):
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    account = people.account("alice")
    await tab.sign_in(account)
    await tab.page.click(".kim-next-invite")
    box = tab.page.locator("#kim-invite-link")
    await box.wait_for()
    link = await box.input_value()
    assert link.startswith(tab.server.url + "/invite/")
    await tab.page.locator(".kim-qr svg").wait_for()
    await tab.page.click(".kim-copy")
    await tab.sees(("Copied", "已复制")[LANGUAGES[locale]], ".kim-copy")
    assert await tab.page.evaluate("navigator.clipboard.readText()") == link
    await tab.shot("invitation")
    # The link works: whoever follows it is a contact.
    guest = await open_tab(f"newcomer-{locale}", locale=locale)
    await guest.page.goto(link)
    await guest.register(f"nora-{secrets.token_hex(3)}", PASSWORD)
    await guest.chatting()
    await guest.sees(account[0], within="converse-roster")
    await guest.shot("newcomer")


async def test_a_request_is_accepted_with_one_click(open_tab, people, locale):
    alice = people.account("alice")
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.sign_in(alice)
    bob = await people.online("bob")
    bob.send_presence_subscription(alice[0])
    sentence = ("{} wants to be your contact.", "{} 请求添加您为联系人。")[LANGUAGES[locale]]
    await tab.sees(sentence.format(bob.boundjid.bare), "kim-requests")
    await tab.shot("request")
    await tab.page.click(".kim-accept")
    await bob.expect("that she accepts", lambda s: isinstance(s, Presence) and s["type"] == "subscribed")
    await bob.expect("that she asks too", lambda s: isinstance(s, Presence) and s["type"] == "subscribe")
    await tab.page.locator(".kim-request").wait_for(state="detached")
    await tab.sees(bob.boundjid.bare, within="converse-roster")
    await tab.shot("accepted")

    # And declined with one.
    carol = await people.online("carol")
    carol.send_presence_subscription(alice[0])
    await tab.sees(sentence.format(carol.boundjid.bare), "kim-requests")
    await tab.page.get_by_role("button", name=("Decline", "拒绝")[LANGUAGES[locale]], exact=True).click()
    await carol.expect("that she declines", lambda s: isinstance(s, Presence) and s["type"] == "unsubscribed")
    await tab.page.locator(".kim-request").wait_for(state="detached")


async def test_the_title_tells_of_what_waits(open_tab, people):
    bob = await people.online("bob")
    account = people.account("alice")
    tab = await open_tab("alice")
    await tab.sign_in(account)
    title = "document.title"
    await tab.page.wait_for_function(f"{title} === '{account[0].split('@')[0]} · localhost'")
    bob.send_message(account[0], "are you there?", mtype="chat")
    await tab.page.locator(".msgs-indicator").first.wait_for()
    assert (await tab.page.title()).startswith("(1) ")
    await tab.chat_with(bob.boundjid.bare)
    await tab.hears("are you there?")
    assert await tab.page.title() == f"{bob.boundjid.bare} · localhost"
