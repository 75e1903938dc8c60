"""Joining and creating rooms by name: the dialog finds public rooms while one types, and says why a room stays shut."""

import secrets

import pytest

from test_closed_doors import make_room

LANGUAGES = {"en-GB": 0, "zh-CN": 1}


@pytest.fixture(params=LANGUAGES)
def locale(request):
    return request.param


async def open_dialog(tab):
    """As a person does: the menu beside "Rooms", its first entry."""
    await tab.page.locator("#chatrooms converse-dropdown > button").first.click()
    await tab.page.locator(".show-add-muc-modal:visible").click()
    await tab.page.locator(".kim-rooms input[name=room]").wait_for()


async def is_in(tab, text):
    """The dialog is gone, and one can speak."""
    await tab.page.locator(".kim-rooms").wait_for(state="hidden")
    await tab.say(text)
    await tab.hears(text)


async def test_a_room_made_by_name_works_at_once(open_tab, people, locale):
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.sign_in(people.account("alice"))
    await open_dialog(tab)
    await tab.sees(("Join or create a room", "加入或创建聊天室")[LANGUAGES[locale]], ".modal")
    token = secrets.token_hex(3)
    name, local = ((f"Book club {token}", f"book-club-{token}"), (f"读书会 {token}", f"读书会-{token}"))[LANGUAGES[locale]]
    await tab.page.fill(".kim-rooms input[name=room]", name)
    await tab.shot("dialog")
    await tab.page.click(".kim-rooms [type=submit]")
    await is_in(tab, "first words")
    await tab.sees(name, "converse-muc-heading")
    await tab.page.locator(f'.open-room[data-room-jid="{local}@conference.localhost"]').wait_for()
    await tab.shot("created")
    # Whoever looks for it by its name gets in too.
    other = await open_tab(f"bob-{locale}", locale=locale)
    await other.sign_in(people.account("bob"))
    await open_dialog(other)
    await other.page.fill(".kim-rooms input[name=room]", name)
    await other.page.press(".kim-rooms input[name=room]", "Enter")
    await is_in(other, "me too")
    await tab.hears("me too")


async def test_public_rooms_are_found_while_one_types(open_tab, people, locale):
    mira = await people.online("mira", "xep_0045")
    token = secrets.token_hex(3)
    title = (f"Gardeners {token}", f"园艺爱好者 {token}")[LANGUAGES[locale]]
    room = await make_room(mira, publicroom="1", roomname=title)
    hidden = await make_room(mira, publicroom="0", roomname=f"{title} in private")
    tab = await open_tab(f"alice-{locale}", locale=locale, viewport={"width": 375, "height": 720}, color_scheme="dark")
    await tab.sign_in(people.account("alice"))
    await tab.page.click(".kim-rooms-button")
    # Before a word is typed, the public rooms are there.
    await tab.page.locator(".kim-found button", has_text="lobby").wait_for()
    await tab.page.locator(".kim-rooms input[name=room]").press_sequentially(token)
    found = tab.page.locator(".kim-found button")
    await found.filter(has_text=title).wait_for()
    await tab.page.wait_for_function("document.querySelectorAll('.kim-found button').length === 1")
    assert hidden not in await tab.page.locator(".kim-rooms").inner_text()
    await tab.shot("found")
    await found.click()
    await is_in(tab, "hello, gardeners")
    assert await tab.page.locator(f'converse-muc[jid="{room}@conference.localhost"]').count() == 1


async def test_a_room_that_stays_shut_says_why(open_tab, people, locale):
    mira = await people.online("mira", "xep_0045")
    room = await make_room(mira, publicroom="1", membersonly="1")
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.sign_in(people.account("alice"))
    await open_dialog(tab)
    name = tab.page.locator(".kim-rooms input[name=room]")
    await name.fill("@@@")
    await name.press("Enter")
    await tab.sees(("at least one letter or digit", "至少包含一个文字")[LANGUAGES[locale]], ".kim-rooms")
    await name.fill(room)
    await name.press("Enter")
    await tab.sees(("You are not on the member list of this room.", "您不在此聊天室的成员列表中")[LANGUAGES[locale]],
                   ".kim-rooms [role=alert]")
    await tab.shot("members only")
    # The dialog goes on: another name, and one is in.
    await name.fill("lobby")
    await name.press("Enter")
    await is_in(tab, "here then")
