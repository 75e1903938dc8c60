"""The servers of the federation tests: Prosody and ejabberd as Debian ships them, and kIM.

Each is a process with its own folder, log and address, where it serves one domain on the standard ports. All trust the test
authority and use the test name server.
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

from server import BINARY, LOGS, ROOT, end_with_parent

# Newer versions than the system's, which `tests/support/neighbours.sh` unpacks.
UNPACKED = ROOT / ".cache" / "neighbours"
PROSODY_LIB, ERLANG_LIB = "usr/lib/prosody", "usr/lib/x86_64-linux-gnu"
UPLOAD_BYTES_MAX = 10_000_000

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30


def answers_at(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
        return True
    except OSError:
        return False


class Neighbour:
    """What all kinds have in common. `people.Person` accepts one as its server."""

    kind = "?"
    ports = (5222, 5269, 5270)
    services = ("conference", "pubsub", "upload")

    def __init__(self, world, name, address, domain=None, certificate=None, **settings):
        self.world, self.name, self.address, self.settings = world, name, address, settings
        self.domain = domain or f"{name}.plain"
        self.certificate = certificate or world.authority.server(self.domain)
        self.home = world.folder / name
        self.home.mkdir(parents=True)
        self.output = world.output / name
        self.output.mkdir(parents=True, exist_ok=True)
        self.log = self.output / "output.log"
        self.port = 5222
        self.process = None
        self.conference = f"conference.{self.domain}"
        world.names.server(self.domain, address, self.services)

    @classmethod
    def installed(cls):
        return True

    def trust(self):
        return ssl.create_default_context(cafile=str(self.world.authority.file))

    def start(self):
        command, environment = self.command()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.home, env={**os.environ, **environment}, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, preexec_fn=end_with_parent)
        deadline = time.monotonic() + START_SECONDS_MAX
        for port in self.ports:
            while not answers_at(self.address, port):
                if self.process.poll() is not None:
                    raise AssertionError(f"{self.name} ended with {self.process.returncode}; see {self.log}")
                if time.monotonic() > deadline:
                    self.kill()
                    raise AssertionError(f"{self.name} does not answer on port {port}; see {self.output}")
                time.sleep(0.05)
        return self

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self):
        """SIGKILL: no stream is closed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def account(self, name):
        """A new account with a name that no other test has: (bare JID, password)."""
        name, password = f"{name}-{secrets.token_hex(3)}", secrets.token_urlsafe(12)
        self.add_account(name, password)
        return f"{name}@{self.domain}", password

    def operator(self):
        """An account that may create pubsub nodes."""
        return self.account("operator")


class Prosody(Neighbour):
    """`strict`: certificates only; else dialback will do. `hosts`: more domains, each with a certificate."""

    kind = "prosody"
    tree = pathlib.Path("/")

    @classmethod
    def installed(cls):
        return (cls.tree / "usr/bin/prosody").exists()

    def command(self):
        program = (self.tree / "usr/bin/prosody").read_text()
        if self.tree != pathlib.Path("/"):
            program = program.replace("/usr/lib/prosody", str(self.tree / PROSODY_LIB))
        (self.home / "prosody").write_text(program)
        (self.home / "prosody.cfg.lua").write_text(self._settings())
        # The interpreter that the package was made for stands in its first line.
        lua = program.splitlines()[0].removeprefix("#!").split()[-1]
        return [lua, str(self.home / "prosody"), "-F", "--config", str(self.home / "prosody.cfg.lua")], {}

    def add_account(self, name, password):
        folder = self.home / "data" / re.sub(r"[^A-Za-z0-9]", lambda c: f"%{ord(c[0]):02x}", self.domain) / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        file = re.sub(r"[^A-Za-z0-9]", lambda c: f"%{ord(c[0]):02x}", name)
        (folder / f"{file}.dat").write_text(f'return {{ ["password"] = "{password}"; }};\n')

    def operator(self):
        self.add_account("operator", self.name)
        return f"operator@{self.domain}", self.name

    def _settings(self):
        strict = "true" if self.settings.get("strict") else "false"
        tls = f'key = "{{}}"; certificate = "{{}}"; cafile = "{self.world.authority.file}"; capath = "";'
        own = tls.format(self.certificate.key, self.certificate.chain)
        more = "".join(
            f'VirtualHost "{domain}"\n  ssl = {{ {tls.format(one.key, one.chain)} }}\n'
            for domain, one in self.settings.get("hosts", {}).items()
        )
        return f"""
run_as_root = true
daemonize = false
pidfile = "{self.home}/prosody.pid"
data_path = "{self.home}/data"
interfaces = {{ "{self.address}" }}
local_interfaces = {{ "{self.address}" }}
log = {{ debug = "{self.output}/prosody.log" }}
authentication = "internal_plain"
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco", "carbons", "pep", "private", "blocklist",
  "vcard4", "vcard_legacy", "version", "uptime", "time", "ping", "mam", "csi_simple", "smacks", "s2s_bidi", "lastactivity",
  "admin_adhoc", "limits" }}
modules_disabled = {{ "offline_unused", {'"s2s_bidi",' if self.settings.get("bidi") is False else ""} }}
-- The tests are faster than people.
limits = {{ c2s = {{ rate = "10mb/s" }}; s2sin = {{ rate = "10mb/s" }} }}
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = {strict}
s2s_direct_tls_ports = {{ 5270 }}
http_ports = {{ 5280 }}
https_ports = {{}}
http_interfaces = {{ "{self.address}" }}
http_external_url = "http://{self.address}:5280/"
archive_expires_after = "never"
default_archive_policy = true
use_dane = true
unbound = {{ resolvconf = true; hoststxt = false; trustfile = "{self.world.names.folder}/root.key" }}
ssl = {{ {own} }}
VirtualHost "{self.domain}"
  disco_items = {{ {{ "conference.{self.domain}" }}, {{ "pubsub.{self.domain}" }}, {{ "upload.{self.domain}" }} }}
{more}
Component "conference.{self.domain}" "muc"
  modules_enabled = {{ "muc_mam" }}
  muc_room_default_public = true
  muc_room_locking = false
Component "pubsub.{self.domain}" "pubsub"
  admins = {{ "operator@{self.domain}" }}
Component "upload.{self.domain}" "http_file_share"
  http_file_share_size_limit = {UPLOAD_BYTES_MAX}
  http_host = "{self.address}"
  http_external_url = "http://{self.address}:5280/"
"""


class ProsodyNew(Prosody):
    kind = "prosody-new"
    tree = UNPACKED / "prosody"


class Ejabberd(Neighbour):
    """`strict`: certificates only, no dialback."""

    kind = "ejabberd"
    tree = None
    ports = (5222, 5269, 5270, 5280)

    @classmethod
    def installed(cls):
        return shutil.which("erl") is not None and bool(cls._libraries())

    def command(self):
        # One file with the certificates and the keys, as its documentation has it.
        (self.home / "server.pem").write_bytes(self.certificate.chain.read_bytes() + self.certificate.key.read_bytes())
        (self.home / "ejabberd.yml").write_text(self._settings())
        paths = [part for path in self._libraries() for part in ("-pa", path)]
        # One scheduler without busy waiting: all servers share a small machine.
        return [shutil.which("erl"), "+S", "1:1", "+SDio", "1", "+sbwt", "none", "+sbwtdio", "none", *paths, "-noinput",
                "-mnesia", "dir", f'"{self.home}/mnesia"', "-s", "ejabberd"], {
            "EJABBERD_CONFIG_PATH": str(self.home / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.output / "ejabberd.log"),
            "ERL_CRASH_DUMP": str(self.output / "crash.dump"), "HOME": str(self.home),
        }

    def add_account(self, name, password):
        asked = urllib.request.Request(
            f"http://{self.address}:5280/api/register", headers={"Content-Type": "application/json"},
            data=json.dumps({"user": name, "host": self.domain, "password": password}).encode(),
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200, answer.read()

    @classmethod
    def _libraries(cls):
        folder = (cls.tree or pathlib.Path("/")) / ERLANG_LIB
        found = sorted(str(path) for path in folder.glob("ejabberd-*/ebin"))
        if cls.tree is not None:
            found += [str(path) for path in sorted(cls.tree.glob("usr/lib/erlang/lib/*/ebin"))]
        return found

    def _settings(self):
        dialback = "" if self.settings.get("strict") else "  mod_s2s_dialback: {}\n"
        bidi = "  mod_s2s_bidi: {}\n" if self.tree is not None and self.settings.get("bidi") is not False else ""
        return f"""
hosts: ["{self.domain}"]
loglevel: debug
log_rotate_size: infinity
certfiles: ["{self.home}/server.pem"]
ca_file: "{self.world.authority.file}"
s2s_use_starttls: required
s2s_timeout: 3600
auth_method: internal
shaper: {{}}
shaper_rules: {{max_user_sessions: 100, max_user_offline_messages: 100, c2s_shaper: none, s2s_shaper: none}}
api_permissions: {{"tests": {{who: {{ip: "127.0.0.0/8"}}, what: "*"}}}}
listen:
  - {{port: 5222, ip: "{self.address}", module: ejabberd_c2s, starttls_required: true, starttls: true,
     max_stanza_size: 262144}}
  - {{port: 5269, ip: "{self.address}", module: ejabberd_s2s_in, max_stanza_size: 524288}}
  - {{port: 5270, ip: "{self.address}", module: ejabberd_s2s_in, max_stanza_size: 524288, tls: true}}
  - {{port: 5280, ip: "{self.address}", module: ejabberd_http,
     request_handlers: {{"/api": mod_http_api, "/upload": mod_http_upload}}}}
modules:
  mod_adhoc: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_http_upload: {{host: "upload.@HOST@", put_url: "http://{self.address}:5280/upload",
    docroot: "{self.home}/upload", max_size: {UPLOAD_BYTES_MAX}, access: all}}
  mod_last: {{}}
  mod_mam: {{default: always}}
  mod_muc: {{host: "conference.@HOST@", default_room_options: {{mam: true}}}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{host: "pubsub.@HOST@", plugins: [flat, pep], access_createnode: all, ignore_pep_from_offline: false}}
  mod_roster: {{versioning: true}}
{dialback}{bidi}  mod_stream_mgmt: {{}}
  mod_time: {{}}
  mod_vcard: {{}}
  mod_version: {{show_os: false}}
"""


class EjabberdNew(Ejabberd):
    kind = "ejabberd-new"
    tree = UNPACKED / "ejabberd"


class Kim(Neighbour):
    """`settings`: KIM__… variables of this server alone."""

    kind = "kim"

    def __init__(self, world, name, address, **more):
        super().__init__(world, name, address, **more)
        # Among the logs in which an ERROR fails the run.
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"federation-{name}.log"
        self.log.unlink(missing_ok=True)

    def environment(self):
        data = self.home / "data"
        return {
            "KIM__SERVER__DATA_DIR": str(data),
            "KIM__SERVER__DOMAINS": self.domain,
            "KIM__TLS__CERT": str(self.certificate.chain),
            "KIM__TLS__KEY": str(self.certificate.key),
            "KIM__LISTEN__C2S": f"{self.address}:5222",
            "KIM__LISTEN__C2S_TLS": f"{self.address}:5223",
            "KIM__LISTEN__S2S": f"{self.address}:5269",
            "KIM__LISTEN__S2S_TLS": f"{self.address}:5270",
            "KIM__LISTEN__HTTPS": f"{self.address}:5443",
            "KIM__LISTEN__HTTP": f"{self.address}:5280",
            "KIM__LISTEN__PUBLIC_URL": f"https://{self.domain}:5443",
            "KIM__STORAGE__URL": f"sqlite://{data}/kim.db",
            "KIM__S2S__REQUIRE": "certificate" if self.settings.get("strict") else "dialback",
            "KIM__S2S__RESOLVER": "127.0.0.53:53",
            # Everybody here writes to people who do not know them, from domains that nobody knows.
            "KIM__STRANGERS__ENABLED": "false",
            "KIM__S2S__CA": str(self.world.authority.file),
            "KIM__S2S__PRIVATE_ADDRESSES": "true",
            # What cannot be delivered comes back at once, so that a story sees it.
            "KIM__S2S__KEEP_HOURS": "0",
            "KIM__S2S__TRUST_ANCHOR": str(self.world.names.folder / "root.key"),
            "KIM__LIMITS__LOGIN_FAILURES_BURST": "1000",
            **self.settings.get("variables", {}),
        }

    def command(self):
        return [str(BINARY), "serve", "--data-dir", str(self.home / "data"), "--domain", self.domain], self.environment()

    def add_account(self, name, password):
        done = subprocess.run(
            [str(BINARY), "user", "add", f"{name}@{self.domain}", "--password-stdin"], cwd=self.home,
            env={**os.environ, **self.environment()}, input=password + "\n", capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr


KINDS = {one.kind: one for one in (Prosody, Ejabberd, ProsodyNew, EjabberdNew, Kim)}
