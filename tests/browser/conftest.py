"""The server and the browsers of the browser tests. A tab that asked anybody but this server for anything, met its own
content security policy, or left an error uncaught, fails its test."""

import itertools
import os
import secrets
import signal

import pytest
from playwright.async_api import async_playwright

from people import Person
from web import Tab, WebServer, chromium

_numbers = itertools.count(1)


def pytest_configure(config):
    # `make test` ends us with SIGTERM: end as after Ctrl-C, so that the fixtures stop their servers.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@pytest.fixture(scope="session")
def make_server(tmp_path_factory):
    """A function that starts a server of its own."""
    made = []

    def make(**settings):
        # Of each process that runs tests, where several do.
        name = f"browser{os.environ.get('PYTEST_XDIST_WORKER', '')}-{next(_numbers)}"
        made.append(WebServer(name, tmp_path_factory.mktemp(name), **settings))
        return made[-1].start()

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="session")
def server(make_server):
    server = make_server()
    yield server
    server.stop()


@pytest.fixture
async def browser():
    async with async_playwright() as playwright:
        # Debian's Chromium cannot make its sandbox as root, which is who runs the tests in a container.
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def open_tab(browser, server, request):
    """A function that gives somebody a browser of their own, nothing in it."""
    tabs = []
    story = request.node.name.removeprefix("test_")

    async def open_tab(who, server=server, **options):
        options = {"viewport": {"width": 1180, "height": 760}, "locale": "en-GB", **options}
        # The certificate is self-signed: browsers ask their people about it, these are told.
        context = await browser.new_context(ignore_https_errors=True, **options)
        tab = Tab(f"{story}-{who}", server, context, await context.new_page())
        tabs.append(tab)
        return tab

    yield open_tab
    failed = request.node.stash.get(FAILED, False)
    for tab in tabs:
        if failed:
            await tab.shot("failed")
        await tab.context.close()
    for tab in tabs:
        assert not tab.foreign, f"{tab.name} asked others: {tab.foreign}"
        assert not tab.errors, f"{tab.name}: {tab.errors}"


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
async def people(server):
    """A function that gives somebody an account and, with `online`, a slixmpp client."""
    devices = []

    class People:
        def account(self, name, server=server):
            return server.add_account(f"{name}-{secrets.token_hex(3)}")

        async def online(self, name, *plugins):
            device = Person(server, *self.account(name))
            devices.append(device)
            for plugin in plugins:
                device.register_plugin(plugin)
            await device.sign_in()
            await device.come_online()
            return device

    yield People()
    for device in devices:
        await device.leave()
