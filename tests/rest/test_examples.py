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


def run(server, command, username, password, receiver, text):
    environment = {
        "PATH": os.environ["PATH"],
        "KIM_URL": server.url,
        "KIM_CA": str(server.certificate),
        "NODE_EXTRA_CA_CERTS": str(server.certificate),
        "USERNAME": username,
        "PASSWORD": password,
        "RECEIVER": receiver,
        "TEXT": text,
    }
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
