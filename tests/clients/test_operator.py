"""The operator's commands beside a running server, and what they say when something is wrong."""

import fcntl
import os
import pty
import secrets
import subprocess
import termios

import pytest

from people import SignInFailed
from server import answers


async def test_an_operator_looks_after_an_account(people):
    server = people.server
    alice, bob = await people.friends("alice", "bob")
    jid = alice.boundjid.bare
    assert jid in server.run("user", "list").split()
    assert alice.boundjid.resource in server.run("user", "show", jid)

    server.run("user", "passwd", jid, "--password-stdin", stdin="a new one\n")
    with pytest.raises(SignInFailed) as refused:
        await people.device((jid, alice.password), mechanism="SCRAM-SHA-256").sign_in()
    assert refused.value.condition == "not-authorized"
    tablet = await people.online((jid, "a new one"))

    # Removed with everything, as if she had done it herself (XEP-0077 §3.2).
    server.run("user", "delete", jid, "--yes")
    await tablet.dropped()
    await bob.expect_presence(jid, "unsubscribed")
    await bob.expect_push(jid, subscription="none")
    assert jid not in server.run("user", "list").split()
    assert server.try_to_run("user", "show", jid).returncode != 0


async def test_a_name_that_is_taken_and_one_that_is_none(server):
    jid, _ = server.add_account(f"taken-{secrets.token_hex(3)}")
    # A bare name is one of the server's only domain, and so taken as well.
    for wrong in (jid, jid.upper(), jid.split("@")[0], "a b@localhost", "@localhost", "someone@elsewhere.example"):
        done = server.try_to_run("user", "add", wrong, "--password-stdin", stdin="password\n")
        assert done.returncode != 0, f"made {wrong!r}"
        assert done.stderr.strip() and "panicked" not in done.stderr


def test_a_server_that_cannot_start_says_why_in_one_line(make_server):
    """A port in use, a key that does not exist, a database that is not there, a folder that is none."""
    first = make_server().start()
    second = make_server()
    not_a_folder = second.home / "file"
    not_a_folder.write_text("")
    for settings, told in (
        ({"KIM__LISTEN__C2S": f"127.0.0.1:{first.port}"}, str(first.port)),
        ({"KIM__LISTEN__C2STLS": "127.0.0.1:1"}, "KIM__LISTEN__C2S_TLS"),
        ({"KIM__STORAGE__URL": "postgres://kim@127.0.0.1:1/kim"}, "127.0.0.1:1"),
        ({"KIM__SERVER__DATA_DIR": str(not_a_folder)}, str(not_a_folder)),
        ({"KIM__TLS__CERT": "/nowhere.crt", "KIM__TLS__KEY": "/nowhere.key"}, "/nowhere.crt"),
    ):
        done = second.try_to_run("serve", **settings)
        assert done.returncode != 0, settings
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert len(lines) == 1 and told in lines[0], f"{settings}: {done.stdout}{done.stderr}"
        assert "panicked" not in done.stderr
    first.stop()


def test_a_server_outlives_its_terminal(make_server):
    """`kim serve` in a terminal whose window is closed: the hang-up is a reload, and what is logged goes nowhere."""
    server = make_server()
    server.log.touch()
    window, end = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)

    server.process = subprocess.Popen(
        server.command(), cwd=server.home, env=server.environment(), stdin=end, stdout=end, stderr=end,
        preexec_fn=own_terminal,
    )
    os.close(end)
    while not answers(server.port_http):
        assert server.process.poll() is None
    os.close(window)
    # Each account is a line of the log.
    for _ in range(3):
        jid, _ = server.add_account(f"who-{secrets.token_hex(3)}")
        assert jid in server.run("user", "list").split()
    assert server.process.poll() is None
    server.stop()
