"""A server with its web part, and a browser tab in which a test acts as a person does: it reads, types and clicks."""

import os
import pathlib
import re
import shutil

import server as clients

AXE = clients.ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = "([within, rules]) => axe.run(within ?? document, rules ? { runOnly: rules } : {})"
OUTPUT = clients.TARGET / "test-output" / "browser"
# A wait ends as soon as the thing is there; this only ends a wait for something that never comes.
PATIENCE_MILLISECONDS = 30_000
# Whether the boxes of rooms are whole.
LISTENS = "[...document.querySelectorAll('converse-muc-message-form')].every((form) => form.auto_complete)"
# What is in the browser's databases, as text.
WRITTEN = """
async () => {
    const done = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    const all = [];
    for (const { name } of await indexedDB.databases()) {
        const db = await done(indexedDB.open(name));
        for (const table of db.objectStoreNames) all.push(await done(db.transaction(table).objectStore(table).getAll()));
        db.close();
    }
    return JSON.stringify(all);
}
"""


class WebServer(clients.Server):
    """The server of the client tests with HTTPS on a port of its own."""

    def __init__(self, name, home, **settings):
        super().__init__(name, home, **settings)
        self.port_https, self.port_http = clients.free_ports(2)
        # The address of README's trial.
        self.url = f"https://localhost:{self.port_https}"

    def environment(self):
        return {
            **super().environment(),
            "KIM__LISTEN__HTTPS": f"127.0.0.1:{self.port_https}",
            "KIM__LISTEN__HTTP": f"127.0.0.1:{self.port_http}",
            "KIM__LISTEN__PUBLIC_URL": self.url,
        }


def chromium():
    """Where the browser is; `make test` installs it."""
    named = os.environ.get("KIM_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    assert found, "no Chromium here: tests/support/tools.sh packages installs it"
    return found


class Tab:
    """A person's browser: one profile of its own, one page. What it asked others for and what broke is kept."""

    def __init__(self, name, server, context, page):
        self.name, self.server, self.context, self.page = name, server, context, page
        self.foreign, self.errors, self.shots = [], [], 0
        # Whom the page may ask: where addresses begin.
        self.known = (server.url, "data:", "blob:")
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("request", self._on_request)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        # Without a listener Playwright begins to intercept file choosers only when a test waits for one, and does not wait
        # until the browser does: the chooser may be opened before that and is lost.
        page.on("filechooser", lambda chooser: None)

    def _on_request(self, request):
        if not request.url.startswith(self.known):
            self.foreign.append(request.url)

    def _on_console(self, message):
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)

    async def open(self, path):
        return await self.page.goto(self.server.url + path)

    async def shot(self, what):
        """Keeps a picture of what the person sees."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self.shots += 1
        name = re.sub(r"[^a-z0-9]+", "-", f"{self.name}-{self.shots}-{what}".lower())
        await self.page.screenshot(path=pathlib.Path(OUTPUT) / f"{name}.png")

    async def sees(self, text, within="body"):
        await self.page.locator(within).get_by_text(text).first.wait_for()

    # --- the pages ---------------------------------------------------------------------------------------------

    async def chatting(self):
        """Waits until the chat client is what the page shows."""
        await self.page.locator("html.chatting").wait_for()

    async def sign_in(self, account, path="/"):
        await self.open(path)
        await self.fill_sign_in(account)
        await self.chatting()

    async def fill_sign_in(self, account):
        jid, password = account
        await self.page.fill("#sign-in [name=name]", jid.split("@")[0])
        await self.page.fill("#sign-in [name=password]", password)
        await self.page.click("#sign-in button")

    async def register(self, name, password):
        await self.page.fill("#register [name=name]", name)
        await self.page.fill("#register [name=password]", password)
        await self.page.fill("#register [name=again]", password)
        await self.page.click("#register button")

    async def violations(self, within=None, rules=None):
        """What axe-core has to say about the page, or about a part of it."""
        assert AXE.exists(), "no axe-core here: tests/support/web.sh fetches it"
        await self.page.evaluate(AXE.read_text())
        found = await self.page.evaluate(RUN_AXE, [within, rules])
        return [f"{one['id']}: {[node['html'][:160] for node in one['nodes']]}" for one in found["violations"]]

    # --- the client --------------------------------------------------------------------------------------------

    async def go_to(self, fragment):
        """Follows a link within the client."""
        await self.page.evaluate("fragment => { location.hash = fragment }", fragment)

    async def chat_with(self, jid):
        await self.go_to(f"converse/chat?jid={jid}")
        await self.page.locator("converse-chat textarea.chat-textarea").wait_for()

    async def sees_picture(self, side):
        """Waits for a picture in the chat that is `side` pixels wide."""
        picture = self.page.locator(".chat-msg img.chat-image, .chat-msg .chat-msg__media img").first
        await picture.wait_for()
        width = await picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)")
        assert width == side

    async def encrypts(self):
        """Waits until what is written in the open chat is encrypted."""
        await self.page.locator("button.toggle-omemo:visible converse-icon.fa-lock").wait_for()

    async def say(self, text):
        box = self.page.locator("textarea.chat-textarea:visible")
        await box.wait_for()
        # In a room Converse shows the box a moment before it can take a key; nobody types as fast as a test.
        for _ in range(PATIENCE_MILLISECONDS // 20):
            if await self.page.evaluate(LISTENS):
                break
            await self.page.wait_for_timeout(20)
        await box.fill(text)
        await box.press("Enter")

    async def reload(self):
        """Reloads the page when what it shows is written down. Converse writes when it was quiet for a moment, and a message that
        was decrypted and not written cannot be decrypted again."""
        before = None
        while before != (before := await self.page.evaluate(WRITTEN)):
            await self.page.wait_for_timeout(500)
        await self.page.reload()

    def messages(self):
        return self.page.locator(".chat-msg__text:visible")

    async def hears(self, text):
        await self.messages().get_by_text(text, exact=True).first.wait_for()
