"""Notifications while the page is closed. No browser maker's push service can be reached here, so one on this machine stands in:
the page is given a subscription at it, what the server sends there is read by others' code, and the browser's own tools carry it on
to the service worker."""

import asyncio
import json
from xml.etree import ElementTree

import pytest
from playwright.async_api import async_playwright

from people import Person
from push_services import Browser, PushService, api
from test_kept_on_the_device import sign_out
from web import Tab, chromium

# What a browser does that has subscribed, and keeps that over pages.
SUBSCRIPTIONS = """
const given = %s;
const made = (key) => ({
    ...given, options: { applicationServerKey: key }, toJSON: () => given,
    unsubscribe: async () => { localStorage.removeItem('subscribed'); return true; },
});
const key = () => Uint8Array.from(JSON.parse(localStorage.getItem('subscribed'))).buffer;
PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    localStorage.setItem('subscribed', JSON.stringify([...applicationServerKey]));
    return made(applicationServerKey);
};
PushManager.prototype.getSubscription = async () => (localStorage.getItem('subscribed') ? made(key()) : null);
"""
# XEP-0490
READ = """<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:mds:displayed:0'><item id='{chat}'>
<displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='{me}'/></displayed></item></publish></pubsub>"""
SHOWN = "async () => (await self.registration.getNotifications()).map(({ body, data }) => ({ body, data }))"


@pytest.fixture
def push(tmp_path):
    service = PushService(tmp_path)
    yield service
    service.server.shutdown()


@pytest.fixture
async def trusting_browser():
    async with async_playwright() as playwright:
        # A service worker comes only from where the browser trusts the certificate.
        arguments = ["--no-sandbox", "--ignore-certificate-errors"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        await browser.close()


async def until(question):
    """Asks until the answer is something."""
    for _ in range(300):
        if answer := await question():
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("nothing came of it")


@pytest.mark.parametrize("language", ("en-GB", "zh-CN"))
async def test_a_closed_page_says_in_which_chat_there_is_a_message(trusting_browser, make_server, people, push, language):
    server = make_server(
        KIM__PUSH_SERVICE__PRIVATE_ADDRESSES="true", KIM__XEP0384_OMEMO__POLICY="off", SSL_CERT_FILE=str(push.certificate),
    )
    keys = Browser()
    context = await trusting_browser.new_context(locale=language)
    await context.grant_permissions(["notifications"], origin=server.url)
    await context.add_init_script(SUBSCRIPTIONS % json.dumps(keys.subscription(f"{push.origin}/alice")))
    tab = Tab(f"notify-{language}", server, context, await context.new_page())
    account = people.account("alice", server)
    jid = account[0]
    await tab.sign_in(account)
    button = tab.page.locator(".kim-notify-button")
    off, on = {"en-GB": ("Turn on notifications", "Notifications are on"), "zh-CN": ("开启通知", "通知已开启")}[language]
    assert off in await button.inner_text()
    await button.click()
    await button.get_by_text(on).wait_for()
    await tab.shot("on")
    token = api_token(server, account)
    (one,) = api(server, "GET push/subscribe", token)["subscriptions"]
    assert one["kind"] == "webpush" and one["host"] == "localhost"

    # The page is closed; somebody writes.
    (worker,) = context.service_workers
    await tab.page.close()
    bob = people.account("bob", server)
    api(server, "POST message/send", api_token(server, bob), {"receiver": jid, "content": "are you there?"})
    path, headers, body = push.next()
    told = keys.read(body)
    assert path == "/alice" and headers["TTL"] and told["kind"] == "message"
    assert told["from"].split("/")[0] == bob[0] and "are you there" not in json.dumps(told)

    # The browser hands it to the worker.
    blank = await context.new_page()
    carrier = await context.new_cdp_session(blank)
    registrations = []
    carrier.on("ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"]))
    await carrier.send("ServiceWorker.enable")

    async def registration():
        return next((one["registrationId"] for one in registrations if one["scopeURL"].startswith(server.url)), None)

    where = {"origin": server.url, "registrationId": await until(registration)}

    async def deliver(data):
        await carrier.send("ServiceWorker.deliverPushMessage", {**where, "data": json.dumps(data)})

    async def shown():
        return await worker.evaluate(SHOWN)

    await deliver(told)
    (notification,) = await until(shown)
    name = bob[0].split("@")[0]
    assert notification["body"] == {"en-GB": f"New message in “{name}”", "zh-CN": f"“{name}”中有新消息"}[language]
    assert notification["data"]["chat"] == bob[0] and not notification["data"]["isRoom"]

    # It is read on another device.
    phone = Person(server, *account)
    await phone.sign_in()
    read = phone.make_iq_set()
    read.append(ElementTree.fromstring(READ.format(chat=bob[0], me=jid)))
    await read.send()
    told = keys.read(push.next()[2])
    assert told["kind"] == "read" and told["messages"] == 0
    await deliver(told)
    await phone.leave()

    async def is_gone():
        return not await shown()

    await until(is_gone)

    # The notification opens the chat in the page that is there.
    tab.page = blank
    await tab.open("/")
    await tab.chatting()
    await worker.evaluate("data => { open(data).catch(() => {}); }", {"chat": bob[0], "isRoom": False})
    await tab.page.locator("converse-chat textarea.chat-textarea").wait_for()
    assert bob[0] in await tab.page.evaluate("location.hash")

    # Whoever signs out is not woken any more.
    await button_in(tab).get_by_text(on).wait_for()
    if language != "en-GB":
        await context.close()
        return
    await sign_out(tab)

    async def has_ended():
        return not api(server, "GET push/subscribe", token)["subscriptions"]

    await until(has_ended)
    assert await tab.page.evaluate("localStorage.getItem('subscribed')") is None
    await context.close()


def button_in(tab):
    return tab.page.locator(".kim-notify-button")


def api_token(server, account):
    jid, password = account
    body = {"username": jid.split("@")[0], "password": password, "scopes": ["read", "send", "manage"]}
    return api(server, "POST login", body=body)["token"]
