"""Signing in, staying signed in, and becoming somebody."""

import secrets


async def test_a_wrong_password_is_told_and_the_right_one_let_in(open_tab, people):
    jid, password = people.account("alice")
    tab = await open_tab("alice")
    await tab.open("/")
    await tab.page.fill("#sign-in [name=name]", jid)
    await tab.page.fill("#sign-in [name=password]", "not it")
    await tab.page.click("#sign-in button")
    await tab.sees("The username or the password is wrong.")
    await tab.shot("refused")
    await tab.page.fill("#sign-in [name=password]", password)
    await tab.page.click("#sign-in button")
    await tab.chatting()


async def test_a_reload_keeps_the_session(open_tab, people, server):
    account = people.account("alice")
    tab = await open_tab("alice")
    await tab.sign_in(account)
    await tab.sees(account[0])
    # The same session of the server's goes on (XEP-0198 §5), it is not a new sign-in.
    resumptions = server.log.read_text().count("session_resumed")
    await tab.page.reload()
    await tab.chatting()
    await tab.sees(account[0])
    await tab.shot("after a reload")
    assert server.log.read_text().count("session_resumed") == resumptions + 1
    assert "invalid-from" not in server.log_text()


# Leaves the page in the moment in which the client is shown.
LEAVE_AT_ONCE = """
    if (location.pathname === '/' && !sessionStorage.getItem('left')) {
        new MutationObserver((_, observer) => {
            if (!document.documentElement.classList.contains('chatting')) return;
            // Leaving once more would break off what has begun.
            observer.disconnect();
            sessionStorage.setItem('left', 'yes');
            location.href = '/rooms';
        }).observe(document, { attributes: true, childList: true, subtree: true });
    }
"""


async def test_whoever_leaves_at_once_is_still_signed_in(open_tab, people):
    account = people.account("alice")
    tab = await open_tab("alice")
    await tab.page.add_init_script(LEAVE_AT_ONCE)
    await tab.open("/")
    await tab.fill_sign_in(account)
    await tab.page.wait_for_url("**/rooms")
    await tab.open("/")
    await tab.chatting()
    await tab.sees(account[0])


async def test_somebody_registers_where_it_is_open(open_tab):
    tab = await open_tab("newcomer")
    await tab.open("/")
    await tab.page.get_by_role("link", name="Create an account").click()
    name = f"nora-{secrets.token_hex(3)}"
    await tab.register(name, "a few words to remember")
    await tab.chatting()
    await tab.sees(f"{name}@localhost")
    await tab.shot("registered")


async def test_a_taken_name_is_told(open_tab, people):
    name = people.account("taken")[0].split("@")[0]
    tab = await open_tab("newcomer")
    await tab.open("/register")
    await tab.register(name, "a few words to remember")
    await tab.sees("This username is taken, or looks like one that is. Please choose another.")
    await tab.shot("taken")
