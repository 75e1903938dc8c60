"""A link that somebody sends: it leads to an account, and works once."""

import secrets

from slixmpp.xmlstream import ET

COMMANDS = "http://jabber.org/protocol/commands"
DATA = "{jabber:x:data}"


async def invite(person):
    """The links of an invitation that a person makes in their client (XEP-0401 §5.1)."""
    iq = person.make_iq_set(ito=person.boundjid.domain)
    iq.append(ET.Element(f"{{{COMMANDS}}}command", {"node": "urn:xmpp:invite#invite", "action": "execute"}))
    answer = (await iq.send()).xml
    return {field.get("var"): field.findtext(f"{DATA}value") for field in answer.iter(f"{DATA}field")}


async def test_an_invitation_leads_to_an_account_and_a_contact(open_tab, people, server):
    mira = await people.online("mira")
    link = (await invite(mira))["landing-url"]
    assert link.startswith(server.url + "/invite/")

    tab = await open_tab("newcomer")
    await tab.page.goto(link)
    await tab.sees(f"{mira.boundjid.bare} invites you to chat")
    await tab.page.locator(".qr svg").wait_for()
    for app in ("Conversations", "Gajim", "Dino", "Monal"):
        await tab.sees(app)
    await tab.shot("landing")
    name = f"nora-{secrets.token_hex(3)}"
    await tab.register(name, "a few words to remember")
    await tab.chatting()
    await tab.sees(f"{name}@localhost")
    # Whoever invites and whoever comes know each other from the start (XEP-0401 §5.3).
    await tab.sees(mira.boundjid.bare, within="converse-controlbox")
    await tab.shot("there")

    # A reload is the account's own page, not the invitation again.
    await tab.page.reload()
    await tab.chatting()

    # The link has done its work.
    other = await open_tab("latecomer")
    response = await other.page.goto(link)
    assert response.status == 404
    await other.sees("This invitation cannot be used")


async def test_the_landing_page_on_a_phone(open_tab, people):
    mira = await people.online("mira")
    link = (await invite(mira))["landing-url"]
    tab = await open_tab("phone", viewport={"width": 375, "height": 720}, color_scheme="dark", locale="zh-CN")
    await tab.page.goto(link)
    await tab.sees("邀请您聊天")
    assert await tab.page.evaluate("document.documentElement.scrollWidth") <= 375
    await tab.shot("landing")


async def test_an_invitation_for_one_name_says_which(open_tab, server):
    name = f"nora-{secrets.token_hex(3)}"
    answer = server.run("invite", "--account", name)
    link = next(word for word in answer.split() if "/invite/" in word)
    tab = await open_tab("newcomer")
    await tab.page.goto(link)
    await tab.sees("Your username")
    await tab.sees(f"Your address for chatting will be {name}@localhost.")
    assert await tab.page.locator("body").get_by_text("Choose a username").count() == 0
    assert not await tab.page.locator("#register [name=name]").is_editable()
    assert not await tab.violations()
    await tab.shot("one name")


async def test_an_invitation_that_is_none(open_tab):
    tab = await open_tab("stranger")
    response = await tab.open("/invite/no-such-token")
    assert response.status == 404
    await tab.sees("This invitation cannot be used")
