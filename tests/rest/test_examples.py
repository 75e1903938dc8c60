"""The example programs of docs/examples, as their first lines say how to run them."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from test_document import ROOT

EXAMPLES = ROOT / "docs" / "examples"
SECONDS_MAX = 60


def run(server, command, username, password, receiver, text, **changed):
    """`changed` are variables that have another value, or none."""
    environment = {
        "PATH": os.environ["PATH"],
        "KIM_URL": server.url,
        "KIM_CA": str(server.certificate),
        "NODE_EXTRA_CA_CERTS": str(server.certificate),
        "USERNAME": username,
        "PASSWORD": password,
        "RECEIVER": receiver,
        "TEXT": text,
        **changed,
    }
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    "program, file", [("sh", "curl.sh"), (sys.executable, "python.py"), ("node", "javascript.mjs")]
)
def test_an_example_sends_hears_and_reads(server, account, neighbour, program, file):
    for needed in (program, "curl") if file == "curl.sh" else (program,):
        if not shutil.which(needed):
            pytest.skip(f"{needed} is not installed here")
    command = [program, str(EXAMPLES / file)]
    text = f"hello from {file}"
    done = run(server, command, *account, "bob", text)
    assert done.returncode == 0, done.stdout + done.stderr
    sent, heard, history = done.stdout.splitlines()
    assert sent.split()[0] == "sent" and heard.split()[0] == "heard"
    message = json.loads(history)["messages"][-1]
    assert message["content"] == text
    # One id everywhere.
    assert sent.split()[1] == heard.split()[1] == message["id"]

    # What goes wrong is told in the server's words.
    refused = run(server, command, account[0], "wrong", "bob", text)
    assert refused.returncode != 0
    assert "wrong username or password" in refused.stdout + refused.stderr

    # And what is not set up, in one line that says what to set.
    variable = "NODE_EXTRA_CA_CERTS" if program == "node" else "KIM_CA"
    for changed, told in [
        ({variable: None}, f"is not trusted: set {variable} to its file"),
        ({"KIM_URL": "https://localhost:1"}, "cannot be reached"),
        ({"RECEIVER": None}, "RECEIVER"),
    ]:
        failed = run(server, command, *account, "bob", text, **changed)
        assert failed.returncode != 0 and failed.stdout == "", failed
        assert told in failed.stderr and len(failed.stderr.splitlines()) == 1, failed.stderr
