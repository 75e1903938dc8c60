"""The test certificate authority, and every kind of certificate that a server may present."""

import datetime
import hashlib
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

SERVICES = ("conference", "pubsub", "upload", "proxy", "push")

XMPP_ADDR = ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # RFC 6120 §13.7.1.4
SRV_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # RFC 4985

BOTH = ("server", "client")
DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate with its key, as files: `chain` and `key`."""

    def __init__(self, folder, name, certificate, key, issuer=None):
        self.certificate, self.private = certificate, key
        self.chain, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.chain.write_bytes(pem + (issuer.public_bytes(serialization.Encoding.PEM) if issuer else b""))
        self.key.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ))

    def tlsa(self, usage=3):
        """The data of a TLSA record (RFC 6698): the hash of the public key, selector 1, matching type 1."""
        key = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return f"{usage} 1 1 {hashlib.sha256(key).hexdigest()}"


class Authority:
    def __init__(self, folder, name="Authority of the federation tests"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._made = 0
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name, key.public_key(), name)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        builder = builder.add_extension(x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        ), critical=True)
        self.root = Certificate(self.folder, "root", builder.sign(key, hashes.SHA256()), key)
        self.file = self.root.chain

    def server(self, domain, services=SERVICES):
        """What public authorities issue now: the domain and its services, for `serverAuth` only.

        A server that insists on `clientAuth` for EXTERNAL refuses most of the network.
        """
        return self.issue(dns=[domain, *(f"{service}.{domain}" for service in services)])

    def old(self, domain):
        """What public authorities issued until 2026: for `serverAuth` and `clientAuth`."""
        return self.issue(dns=[domain], purposes=BOTH)

    def wildcard(self, domain):
        return self.issue(dns=[domain, f"*.{domain}"], purposes=BOTH)

    def expired(self, domain):
        return self.issue(dns=[domain, f"conference.{domain}"], days=(-40, -10))

    def not_yet(self, domain):
        return self.issue(dns=[domain], days=(10, 40))

    def self_signed(self, domain):
        return self.issue(dns=[domain, f"conference.{domain}"], own=True)

    def by_xmpp_addr(self, domain):
        """RFC 6120 §13.7.1.4: the domain is an id-on-xmppAddr and no DNS name."""
        return self.issue(xmpp=[domain], purposes=BOTH)

    def by_srv_name(self, domain):
        """RFC 6125 §6.4: the domain is the name of a service, `_xmpp-server.domain`."""
        return self.issue(srv=[f"_xmpp-server.{domain}"], purposes=BOTH)

    def issue(self, *, dns=(), xmpp=(), srv=(), addresses=(), common_name=None, days=(-1, 30), purposes=("server",),
              own=False):
        """`own`: self-signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = common_name or (list(dns) + list(xmpp) + list(srv) + ["nobody"])[0].removeprefix("*.")
        issuer = None if own else self.root.certificate.subject.rfc4514_string().removeprefix("CN=")
        builder = self._builder(name, key.public_key(), issuer or name, days)
        names = [
            *(x509.DNSName(one) for one in dns),
            *(x509.OtherName(XMPP_ADDR, _string(0x0C, one)) for one in xmpp),
            *(x509.OtherName(SRV_NAME, _string(0x16, one)) for one in srv),
            *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses),
        ]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        kinds = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage([kinds[one] for one in purposes]), critical=False)
        self._made += 1
        signed = builder.sign(key if own else self.root.private, hashes.SHA256())
        return Certificate(self.folder, f"{self._made}-{name}", signed, key)

    @staticmethod
    def _builder(name, key, issuer, days=(-1, 30)):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )


def _string(tag, text):
    """DER of a short string: UTF8String (0x0C) or IA5String (0x16)."""
    data = text.encode()
    assert len(data) < 128
    return bytes([tag, len(data)]) + data
