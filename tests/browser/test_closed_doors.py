"""Doors that do not open: whoever stands before one reads why, in their language, and what else there is."""

import secrets

import pytest
from slixmpp.xmlstream import ET

from test_guest import enter

OWNER = "http://jabber.org/protocol/muc#owner"
LANGUAGES = {"en-GB": 0, "zh-CN": 1}


@pytest.fixture(params=LANGUAGES)
def locale(request):
    return request.param


async def make_room(person, **settings):
    """A room of a person, with these settings (XEP-0045 §10.1.3); gives its name."""
    name = f"room-{secrets.token_hex(3)}"
    room = f"{name}@conference.{person.boundjid.domain}"
    await enter(person, room, "owner")
    iq = person.make_iq_set(ito=room)
    form = ET.SubElement(ET.SubElement(iq.xml, f"{{{OWNER}}}query"), "{jabber:x:data}x", {"type": "submit"})
    for key, value in settings.items():
        field = ET.SubElement(form, "{jabber:x:data}field", {"var": f"muc#roomconfig_{key}"})
        ET.SubElement(field, "{jabber:x:data}value").text = value
    await iq.send()
    return name


async def knock(tab, nick):
    await tab.page.fill("#visit [name=nick]", nick)
    await tab.page.press("#visit [name=nick]", "Enter")


async def test_a_name_that_no_room_has(open_tab, locale):
    tab = await open_tab(f"guest-{locale}", locale=locale)
    response = await tab.open("/room/nowhere")
    assert response.status == 404
    words = "There is no public room called “nowhere” here", "这里没有名为“nowhere”的公共聊天室"
    await tab.sees(words[LANGUAGES[locale]])
    await tab.shot("no such room")


async def test_a_room_of_members_sends_guests_to_sign_in(open_tab, people, locale):
    mira = await people.online("mira", "xep_0045")
    name = await make_room(mira, publicroom="1", membersonly="1")
    tab = await open_tab(f"guest-{locale}", locale=locale)
    await tab.open(f"/room/{name}")
    await tab.sees(("Guests cannot enter this room", "访客无法进入此聊天室")[LANGUAGES[locale]])
    assert await tab.page.locator("#visit").count() == 0
    await tab.page.get_by_role("link", name=("Join with your account", "用账号加入")[LANGUAGES[locale]]).wait_for()
    await tab.shot("members only")


async def test_a_hidden_room_is_as_one_that_is_not_there(open_tab, people, locale):
    mira = await people.online("mira", "xep_0045")
    name = await make_room(mira, publicroom="0")
    tab = await open_tab(f"guest-{locale}", locale=locale)
    response = await tab.open(f"/room/{name}")
    assert response.status == 404
    await tab.sees(("No such room", "没有这个聊天室")[LANGUAGES[locale]])


async def test_a_server_without_guests(open_tab, make_server, locale):
    server = make_server(KIM__REGISTRATION__GUESTS="false")
    tab = await open_tab(f"guest-{locale}", server, locale=locale)
    await tab.open("/room/lobby")
    await tab.sees(("Guests cannot enter this room", "访客无法进入此聊天室")[LANGUAGES[locale]])
    assert await tab.page.locator("#visit").count() == 0
    await tab.shot("no guests")
    server.stop()


async def test_a_server_at_its_limit(open_tab, make_server, locale):
    server = make_server(KIM__LIMITS__STREAMS_PER_ADDRESS_MAX="1")
    first = await open_tab("first", server)
    await first.open("/room/lobby")
    await knock(first, "first")
    await first.chatting()
    tab = await open_tab(f"guest-{locale}", server, locale=locale)
    await tab.open("/room/lobby")
    await knock(tab, "second")
    await tab.sees(("The server cannot be reached. Please try again.", "无法连接服务器，请重试。")[LANGUAGES[locale]])
    await tab.shot("full")
    # Should there be a place again, the same form leads in.
    await first.context.close()
    await tab.page.locator("#visit [name=nick]:enabled").wait_for()
    await knock(tab, "second")
    await tab.chatting()
    server.stop()


async def test_a_nickname_that_somebody_has(open_tab, people, locale):
    mira = await people.online("mira", "xep_0045")
    name = await make_room(mira, publicroom="1")
    tab = await open_tab(f"guest-{locale}", locale=locale)
    await tab.open(f"/room/{name}")
    await knock(tab, "owner")
    await tab.sees(("choose a different one", "请选择其他昵称")[LANGUAGES[locale]])
    await tab.shot("nickname taken")
    box = tab.page.locator("converse-muc-nickname-form input[name=nick]")
    await box.fill("somebody else")
    await box.press("Enter")
    await tab.say("here I am")
    await tab.hears("here I am")


async def test_a_room_that_is_full(open_tab, people, locale):
    mira = await people.online("mira", "xep_0045")
    name = await make_room(mira, publicroom="1", maxusers="1")
    tab = await open_tab(f"guest-{locale}", locale=locale)
    await tab.open(f"/room/{name}")
    await knock(tab, "guest")
    await tab.sees(("This room is full. Please try again later.", "聊天室已满，请稍后再试。")[LANGUAGES[locale]])
    await tab.shot("room full")
