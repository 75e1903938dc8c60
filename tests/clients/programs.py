"""Drives clients written in other languages, as separate programs. `tests/support/tools.sh clients` builds them.

A test and a program exchange lines of words separated by tabs: the test writes what to do, the program what happened.
Tests of a program that could not be built on this machine are skipped.
"""

import asyncio
import os
import shutil
import subprocess
import threading

import pytest

from people import PATIENCE_SECONDS
from server import ROOT, TARGET, end_with_parent

# Apart from the servers' logs, which must not hold the word ERROR.
OUTPUT = TARGET / "test-output" / "programs"
BUILT = ROOT / ".cache" / "clients"
STANZA = ROOT / "tests" / "clients" / "stanza"

# The waits of one story have limits of their own; this ends a story that hangs all the same.
STORY_SECONDS_MAX = 120


def smack_command():
    jar = BUILT / "smack" / "smack-client-1.jar"
    if not (shutil.which("java") and jar.exists()):
        pytest.skip("Smack is not tested: it needs a JDK and Maven")
    # The stories are too short for the second compiler to pay off.
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jar}:{jar.parent}/dependency/*", "kim.clients.Main"]


def apple_command(*arguments):
    jar = BUILT / "pushy" / "apns-mock-1.jar"
    if not (shutil.which("java") and jar.exists()):
        pytest.skip("Apple's push service is not tested: it needs a JDK and Maven")
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jar}:{jar.parent}/dependency/*", "kim.clients.Apple", *arguments]


def go_xmpp_command():
    program = BUILT / "go-xmpp"
    if not program.exists():
        pytest.skip("go-xmpp is not tested: it needs a recent Go")
    return [str(program)]


def stanza_command():
    if not (shutil.which("node") and (STANZA / "node_modules").exists()):
        pytest.skip("stanza is not tested: it needs Node.js")
    return ["node", str(STANZA / "client.mjs")]


class Program:
    """One client, for one test: `async with Program(name, command)`."""

    def __init__(self, name, command, **environment):
        self.name, self.command = name, command
        self.environment = {**os.environ, **environment}
        self.told = []

    async def __aenter__(self):
        OUTPUT.mkdir(parents=True, exist_ok=True)
        with open(OUTPUT / self.name, "ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, env=self.environment, stderr=log, preexec_fn=end_with_parent,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
        return self

    async def __aexit__(self, *_):
        self.process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def ask(self, *words):
        self.process.stdin.write(("\t".join(words) + "\n").encode())

    async def expect(self, *words):
        """Reads on until the program tells this; returns the words that follow."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while line := await self.process.stdout.readline():
                    told = line.decode().rstrip("\n").split("\t")
                    self.told.append(told)
                    if told[:len(words)] == list(words):
                        return told[len(words):]
                    if told[0] == "refused":
                        break
        except TimeoutError:
            pass
        raise AssertionError(f"{self.name} did not tell {words}; it told {self.told}")


class Smack:
    """Plays whole stories with Smack; one Java process serves all of them."""

    def __init__(self):
        OUTPUT.mkdir(parents=True, exist_ok=True)
        with open(OUTPUT / "smack", "ab") as log:
            self.process = subprocess.Popen(
                smack_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                preexec_fn=end_with_parent,
            )

    def play(self, story, server, *accounts):
        """Plays a story; fails with what Java says."""
        words = [story, str(server.port), str(server.certificate)]
        for jid, password in accounts:
            words += [jid, password]
        watchdog = threading.Timer(STORY_SECONDS_MAX, self.process.kill)
        watchdog.start()
        try:
            self.process.stdin.write("\t".join(words) + "\n")
            self.process.stdin.flush()
            told = []
            for line in self.process.stdout:
                if line in ("passed\n", "failed\n"):
                    assert line == "passed\n", f"Smack, {story}:\n" + "".join(told)
                    return
                told.append(line)
            raise AssertionError(f"Smack ended in the story {story}:\n" + "".join(told))
        finally:
            watchdog.cancel()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
