"""Starts and stops the built `kim` the way an operator does: a folder, a few settings, SIGTERM."""

import ctypes
import os
import pathlib
import re
import secrets
import signal
import socket
import ssl
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = pathlib.Path(os.environ.get("KIM_BIN", TARGET / "debug" / "kim"))
LOGS = pathlib.Path(os.environ.get("KIM_TEST_LOGS", TARGET / "test-logs"))

DOMAIN = "localhost"
GUEST_DOMAIN = "guest.localhost"
# Where the server puts the certificate that it makes on its first start, seen from its data folder.
CERTIFICATE = "certs/localhost.crt"

# Nothing waits for a fixed time: these only end a wait for something that will never come.
START_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


class Server:
    """One server process with its folder, its four ports and its log."""

    domain = DOMAIN
    guest_domain = GUEST_DOMAIN

    def __init__(self, name, home, storage_url=None, **settings):
        """`settings` are KIM__… variables of this server alone."""
        self.settings = settings
        self.home = pathlib.Path(home)
        self.data = self.home / "data"
        self.certificate = self.data / CERTIFICATE
        self.storage_url = storage_url or f"sqlite://{self.data}/kim.db"
        self.port, self.port_tls, self.port_https, self.port_http = free_ports(4)
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{name}.log"
        self.log.unlink(missing_ok=True)
        self.process = None

    # --- the process -------------------------------------------------------------------------------------------

    def environment(self):
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("KIM__")},
            "KIM__SERVER__DATA_DIR": str(self.data),
            "KIM__SERVER__DOMAINS": DOMAIN,
            "KIM__LISTEN__C2S": f"127.0.0.1:{self.port}",
            "KIM__LISTEN__C2S_TLS": f"127.0.0.1:{self.port_tls}",
            "KIM__LISTEN__HTTPS": f"127.0.0.1:{self.port_https}",
            "KIM__LISTEN__HTTP": f"127.0.0.1:{self.port_http}",
            "KIM__LISTEN__S2S": "[]",
            "KIM__LISTEN__S2S_TLS": "[]",
            "KIM__STORAGE__URL": self.storage_url,
            "KIM__REGISTRATION__OPEN": "true",
            # Many accounts are made in little time: the work stays the same for all of them.
            "KIM__XEP0158_CAPTCHA__BITS": "10",
            "KIM__XEP0158_CAPTCHA__BITS_MAX": "10",
            "KIM__XEP0158_CAPTCHA__FORM": "true",
            # All tests come from one address and sign in wrongly on purpose more often than one person would.
            "KIM__LIMITS__LOGIN_FAILURES_BURST": "1000",
            **self.settings,
        }

    def command(self):
        return [str(BINARY), "serve", "--data-dir", str(self.data), "--domain", DOMAIN]

    def start(self):
        """Returns when all ports answer; the certificate is there by then."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.home,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        for port in (self.port, self.port_tls, self.port_https, self.port_http):
            while not answers(port):
                if self.process.poll() is not None:
                    raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log_text()}")
                if time.monotonic() > deadline:
                    self.kill()
                    raise AssertionError(f"port {port} never answered:\n{self.log_text()}")
                time.sleep(0.05)
        return self

    def ask_to_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_stopped(self):
        """The server must end by itself, with 0, without having logged an error."""
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_SECONDS_MAX} s after SIGTERM:\n{self.log_text()}") from None
        self.process = None
        assert code == 0, f"the server ended with {code} after SIGTERM:\n{self.log_text()}"
        self.assert_log_clean()

    def stop(self):
        if self.process is not None:
            self.ask_to_stop()
            self.wait_stopped()

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log_text(self):
        return self.log.read_text(errors="replace")[-8000:]

    def assert_log_clean(self):
        bad = [line for line in self.log.read_text(errors="replace").splitlines()
               if re.search(r"\bERROR\b|panicked", line)]
        assert not bad, "the server logged:\n" + "\n".join(bad[:20])

    # --- the operator's commands -------------------------------------------------------------------------------

    def run(self, *arguments, stdin="", **settings):
        """A command that must succeed; returns what it printed."""
        done = self.try_to_run(*arguments, stdin=stdin, **settings)
        assert done.returncode == 0, f"kim {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def try_to_run(self, *arguments, stdin="", **settings):
        """A command that may fail; `settings` are KIM__… variables for it alone."""
        return subprocess.run(
            [str(BINARY), *arguments],
            cwd=self.home,
            env={**self.environment(), **settings},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            preexec_fn=end_with_parent,
        )

    def add_account(self, name, password=None):
        """Makes an account and returns (bare JID, password)."""
        jid, password = f"{name}@{DOMAIN}", password or secrets.token_urlsafe(12)
        self.run("user", "add", jid, "--password-stdin", stdin=password + "\n")
        return jid, password

    # --- TLS ---------------------------------------------------------------------------------------------------

    def trust(self):
        """A client's TLS settings: this certificate and no other, with the host name checked."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
        return context


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def end_with_parent():
    """Runs in the child: should the tests be killed, the kernel ends the server too (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


def new_postgres_database(admin_url, name):
    """Makes an empty database beside the one that `admin_url` names and returns its URL."""
    subprocess.run(
        ["psql", admin_url, "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-c", f'CREATE DATABASE "{name}"'],
        check=True, timeout=COMMAND_SECONDS_MAX,
    )
    base, _, query = admin_url.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
