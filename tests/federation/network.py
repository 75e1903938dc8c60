"""A private network with its own DNS for the federation tests.

The test process and everything it starts run in a network namespace with only a loopback device, and in a mount namespace
with its own /etc/resolv.conf. Each server gets its own address and the standard ports, nothing collides with other programs
on the machine, and no packet leaves it.

DNS: Knot is authoritative for a small internet, root zone included. Unbound resolves and validates in front of it.
`plain.` is not signed, `signed.` is, and `bogus.` is signed by keys that its parent does not vouch for.
"""

import ctypes
import os
import pathlib
import subprocess
import time

from server import end_with_parent

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

RESOLVER, AUTHORITATIVE = "127.0.0.53", "127.0.0.54"
# A public address, for tests without `private_addresses`. Nothing leaves the namespace.
PUBLIC = "5.5.5.5"
# Nothing listens here.
DEAD = "127.0.9.9"

# Not `test.`: resolvers answer for it themselves, that it does not exist.
TOP = ("plain", "signed", "bogus")
START_SECONDS_MAX = 30

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _mount(source, target, flags):
    _call("mount", source, target, None, ctypes.c_ulong(flags), None)


def enter(folder):
    """Moves this process into its namespaces. Only the calling thread moves, so call it before starting others."""
    folder = pathlib.Path(folder)
    # Where Debian keeps servers; not everybody's PATH has it.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    user, group = os.getuid(), os.getgid()
    _call("unshare", CLONE_NEWNET | CLONE_NEWNS | (0 if user == 0 else CLONE_NEWUSER))
    if user != 0:
        # Root inside, the same user outside.
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(b"none", b"/", MS_REC | MS_PRIVATE)
    replace(folder, "/etc/resolv.conf", f"nameserver {RESOLVER}\n")
    replace(folder, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (f"{PUBLIC}/32", "fd00::1/128"):
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


def replace(folder, path, text):
    """Replaces the content of a system file for this process and its children."""
    ours = folder / path.strip("/").replace("/", "-")
    ours.write_text(text)
    _mount(bytes(ours), os.path.realpath(path).encode(), MS_BIND)


class Names:
    """The name servers. `add` appends zone file lines with fully qualified names."""

    def __init__(self, folder, logs):
        self.folder, self.logs = pathlib.Path(folder), pathlib.Path(logs)
        self.records = {top: [] for top in TOP}
        self.serial = 1
        self.processes = []

    def add(self, *lines):
        for line in lines:
            top = line.split()[0].rstrip(".").rpartition(".")[2]
            self.records[top].append(line)
        if self.processes:
            self._write()
            self._control("zone-reload")

    def server(self, domain, address, services=("conference", "pubsub", "upload"), host=None):
        """The records an operator sets up: a host with an address, and SRV for the domain and each service."""
        host = host or f"xmpp.{domain}"
        lines = [f"{host}. A {address}"]
        for name in (domain, *(f"{service}.{domain}" for service in services)):
            lines.append(f"_xmpp-server._tcp.{name}. SRV 5 0 5269 {host}.")
            lines.append(f"_xmpps-server._tcp.{name}. SRV 5 0 5270 {host}.")
            lines.append(f"{name}. A {address}")
        self.add(*lines)

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "keys").mkdir()
        self._write()
        self._write_settings()
        # The root has DS records for the signed zones; the one for `bogus.` names a key that does not exist.
        keys = {zone: self._make_key(zone) for zone in (".", "signed.", "bogus.")}
        other = self._make_key("other.")
        self.delegations = [keys["signed."], other.replace("other.", "bogus.", 1)]
        self._write()
        (self.folder / "root.key").write_text(self._public_key(".") + "\n")
        self._start("knotd", ["knotd", "-c", str(self.folder / "knot.conf")])
        self._wait(AUTHORITATIVE, "signed.")
        self._start("unbound", ["unbound", "-d", "-c", str(self.folder / "unbound.conf")])
        self._wait(RESOLVER, "signed.")
        assert "ad" in self.ask("signed.", "SOA", flags=True), "the signed zone does not validate"
        return self

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(START_SECONDS_MAX)
        self.processes = []

    def ask(self, name, kind, server=RESOLVER, flags=False):
        """The resolver's answer, as lines; with `flags`, the header flags."""
        done = subprocess.run(
            ["kdig", "+dnssec", "+retry=0", "+timeout=1", *([] if flags else ["+short"]), f"@{server}", name, kind],
            capture_output=True, text=True, timeout=START_SECONDS_MAX,
        )
        if flags:
            line = next((line for line in done.stdout.splitlines() if line.startswith(";; Flags:")), "")
            return line.removeprefix(";; Flags:").split(";")[0].split()
        return done.stdout.splitlines()

    # --- inside --------------------------------------------------------------------------------------------------

    def _write(self):
        self.serial += 1
        soa = f"SOA ns.plain. root.plain. {self.serial} 3600 600 86400 60"
        for zone in TOP:
            text = [f"$TTL 60\n{zone}. {soa}\n{zone}. NS ns.plain."]
            if zone == "plain":
                text.append(f"ns.plain. A {AUTHORITATIVE}")
            (self.folder / f"{zone}.zone").write_text("\n".join([*text, *self.records[zone]]) + "\n")
        text = [f"$TTL 60\n. {soa}\n. NS ns.plain.\nns.plain. A {AUTHORITATIVE}", *(f"{zone}. NS ns.plain." for zone in TOP)]
        (self.folder / "root.zone").write_text("\n".join([*text, *getattr(self, "delegations", [])]) + "\n")

    def _write_settings(self):
        zones = "".join(
            f'  - domain: {domain}\n    file: {file}.zone\n    dnssec-signing: {signed}\n'
            for domain, file, signed in ((".", "root", "on"), ("plain.", "plain", "off"), ("signed.", "signed", "on"),
                                         ("bogus.", "bogus", "on"))
        )
        (self.folder / "knot.conf").write_text(f"""
server:
    listen: {AUTHORITATIVE}@53
    rundir: {self.folder}
    pidfile: knot.pid
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: {self.folder}/knot.sock
log:
  - target: stderr
    any: info
database:
    storage: {self.folder}/keys
policy:
  - id: small
    algorithm: ecdsap256sha256
    single-type-signing: on
    manual: off
template:
  - id: default
    storage: {self.folder}
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    dnssec-policy: small
zone:
{zones}""")
        (self.folder / "unbound.conf").write_text(f"""
server:
    interface: {RESOLVER}
    directory: "{self.folder}"
    chroot: ""
    username: ""
    pidfile: "{self.folder}/unbound.pid"
    use-syslog: no
    verbosity: 1
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    access-control: 127.0.0.0/8 allow
    root-hints: "{self.folder}/hints"
    trust-anchor-file: "{self.folder}/root.key"
    # Tests that change a name see the change at once.
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    val-bogus-ttl: 0
    infra-host-ttl: 0
remote-control:
    control-enable: no
""")
        (self.folder / "hints").write_text(f". 3600000 NS ns.plain.\nns.plain. 3600000 A {AUTHORITATIVE}\n")

    def _make_key(self, zone):
        """Makes the key that signs a zone; returns its DS record."""
        keys = ["keymgr", "-D", str(self.folder / "keys")] if zone == "other." else [
            "keymgr", "-c", str(self.folder / "knot.conf")]
        made = subprocess.run([*keys, zone, "generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes"],
                              capture_output=True, text=True)
        assert made.returncode == 0, made.stderr + made.stdout
        told = subprocess.run([*keys, zone, "ds"], check=True, capture_output=True, text=True).stdout
        return next(line for line in told.splitlines() if " 13 2 " in line)

    def _public_key(self, zone):
        """The key that signs a zone, as a line of a trust anchor file: with its class, which not every program does without."""
        told = subprocess.run(["keymgr", "-c", str(self.folder / "knot.conf"), zone, "dnskey"], check=True, capture_output=True,
                              text=True).stdout
        name, _, rest = next(line for line in told.splitlines() if " DNSKEY 257 " in line).partition(" DNSKEY ")
        return f"{name} IN DNSKEY {rest}"

    def _start(self, name, command):
        with open(self.logs / f"{name}.log", "ab") as log:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                   preexec_fn=end_with_parent))

    def _control(self, *words):
        subprocess.run(["knotc", "-b", "-s", str(self.folder / "knot.sock"), *words], check=True, capture_output=True)

    def _wait(self, server, name):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.ask(name, "SOA", server):
            assert time.monotonic() < deadline, f"{server} does not answer; see {self.logs}"
            assert all(process.poll() is None for process in self.processes), f"a name server ended; see {self.logs}"
            time.sleep(0.05)
