"""A guest: one link, one nickname, and they are in the public room, beside people with any other client."""

from slixmpp import Message

from people import PATIENCE_SECONDS


async def enter(person, room, nick):
    await person.plugin["xep_0045"].join_muc_wait(room, nick, timeout=PATIENCE_SECONDS)


def says(text):
    return lambda s: isinstance(s, Message) and s["type"] == "groupchat" and s["body"] == text


async def test_a_guest_opens_the_lobby_and_talks_with_a_member(open_tab, people):
    room = "lobby@conference.localhost"
    mira = await people.online("mira", "xep_0045")
    await enter(mira, room, "mira")

    tab = await open_tab("guest")
    await tab.open("/room/lobby")
    await tab.shot("door")
    await tab.page.fill("#visit [name=nick]", "Wanda")
    await tab.page.press("#visit [name=nick]", "Enter")
    await tab.chatting()

    await tab.say("hello from a browser")
    heard = await mira.expect("the guest's message", says("hello from a browser"))
    assert heard["from"] == f"{room}/Wanda"
    mira.send_message(room, "welcome, Wanda", mtype="groupchat")
    await tab.hears("welcome, Wanda")
    # Guests may not upload, so nothing offers it to them.
    await tab.page.locator(".toggle-emojis, converse-emoji-dropdown").first.wait_for()
    assert await tab.page.locator(".fa-paperclip, input.fileupload").count() == 0
    await tab.shot("in the room")

    # The page again: still Wanda, nothing to fill in.
    await tab.page.reload()
    await tab.chatting()
    await tab.say("back again")
    heard = await mira.expect("the guest again", says("back again"))
    assert heard["from"] == f"{room}/Wanda"


async def test_the_room_fits_a_phone_in_the_dark_in_chinese(open_tab, people):
    room = "lobby@conference.localhost"
    mira = await people.online("mira", "xep_0045")
    await enter(mira, room, "mira")
    tab = await open_tab("guest", viewport={"width": 375, "height": 720}, color_scheme="dark", locale="zh-CN")
    await tab.open("/room/lobby")
    await tab.sees("您的昵称")
    await tab.shot("door")
    await tab.page.fill("#visit [name=nick]", "旺达")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.say("你好，大家")
    heard = await mira.expect("the guest's message", says("你好，大家"))
    assert heard["from"] == f"{room}/旺达"
    await tab.hears("你好，大家")
    width = await tab.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 375, f"the page is {width} pixels wide on a phone of 375"
    await tab.shot("in the room")


async def test_a_visit_leaves_the_account_of_the_browser_alone(open_tab, people):
    tab = await open_tab("alice")
    account = people.account("alice")
    await tab.sign_in(account)
    await tab.open("/room/lobby")
    await tab.page.fill("#visit [name=nick]", "somebody")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.open("/")
    await tab.chatting()
    await tab.sees(account[0])


async def test_rooms_that_are_not_there(open_tab):
    tab = await open_tab("guest")
    response = await tab.open("/room/nowhere")
    assert response.status == 404
    await tab.sees("No such room")
    await tab.shot("no such room")
    await tab.page.get_by_role("link", name="See the public rooms").click()
    await tab.page.get_by_role("link", name="lobby").click()
    await tab.page.locator("#visit").wait_for()
