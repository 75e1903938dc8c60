"""A stream by hand, for what slixmpp cannot do: TLS channel binding, and saying things that are wrong on purpose."""

import base64
import hashlib
import hmac
import secrets
import socket
import struct

from OpenSSL import SSL, crypto
from xml.etree import ElementTree

from people import PATIENCE_SECONDS

SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"


class Refused(Exception):
    """The server answered with a SASL failure; the text is its condition."""


class Stream:
    def __init__(self, server, direct_tls=False):
        self.server = server
        self.direct_tls = direct_tls
        self.protocol = None
        self._pipe = None

    def __enter__(self):
        port = self.server.port_tls if self.direct_tls else self.server.port
        self._pipe = socket.create_connection(("127.0.0.1", port))
        # Not settimeout: pyOpenSSL needs a blocking socket.
        patience = struct.pack("ll", PATIENCE_SECONDS, 0)
        self._pipe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        if self.direct_tls:
            self._start_tls()
        return self

    def __exit__(self, *_):
        self._pipe.close()

    # --- XML ---------------------------------------------------------------------------------------------------

    def open(self):
        """Opens (or opens again) the stream and returns the features."""
        self._parser, self._depth = ElementTree.XMLPullParser(("start", "end")), 0
        self.send(
            f"<?xml version='1.0'?><stream:stream to='{self.server.domain}' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        features = self.read()
        assert features.tag == "{http://etherx.jabber.org/streams}features", features.tag
        return features

    def secure(self):
        """Opens the stream under TLS and returns the features that come then."""
        if not self.direct_tls:
            self.open()
            self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            assert self.read().tag == f"{TLS}proceed"
            self._start_tls()
        return self.open()

    def send(self, xml):
        self._pipe.sendall(xml.encode())

    def read(self):
        """The next child of the stream."""
        while True:
            for event, element in self._parser.read_events():
                self._depth += 1 if event == "start" else -1
                if event == "end" and self._depth == 1:
                    return element
            self._parser.feed(self._pipe.recv(65536))

    # --- TLS ---------------------------------------------------------------------------------------------------

    def _start_tls(self):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(self.server.certificate))
        context.set_verify(SSL.VERIFY_PEER)
        context.set_alpn_protos([b"xmpp-client"])
        tls = SSL.Connection(context, self._pipe)
        tls.set_tlsext_host_name(self.server.domain.encode())
        tls.set_connect_state()
        tls.do_handshake()
        self._pipe = tls
        self.protocol = tls.get_alpn_proto_negotiated()
        self.certificate_der = crypto.dump_certificate(crypto.FILETYPE_ASN1, tls.get_peer_certificate())

    def channel_binding(self, kind):
        if kind == "tls-exporter":  # RFC 9266 §2
            return self._pipe.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        if kind == "tls-server-end-point":  # RFC 5929 §4.1; the certificate is signed with SHA-256
            return hashlib.sha256(self.certificate_der).digest()
        raise ValueError(kind)

    # --- SCRAM (RFC 5802 §3, §5) -------------------------------------------------------------------------------

    def scram(self, jid, password, mechanism, *, binding=None, binding_data=None, flag="n", cbind_input=None,
              authzid=None):
        """Signs in or raises Refused. The named arguments after `binding` are for telling lies."""
        digest = mechanism.removeprefix("SCRAM-").removesuffix("-PLUS").replace("-", "").lower()
        header = f"p={binding}" if binding else flag
        header += f",{f'a={authzid}' if authzid else ''},"
        first_bare = f"n={jid.partition('@')[0]},r={secrets.token_urlsafe(18)}"
        server_first = self._sasl(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>", header + first_bare
        )
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(first_bare.partition("r=")[2])
        assert int(fields["i"]) >= 4096

        if cbind_input is None:
            data = b""
            if binding:
                data = binding_data if binding_data is not None else self.channel_binding(binding)
            cbind_input = header.encode() + data
        without_proof = f"c={base64.b64encode(cbind_input).decode()},r={fields['r']}"
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", digest)
        stored_key = hashlib.new(digest, client_key).digest()
        message = f"{first_bare},{server_first},{without_proof}".encode()
        signature = hmac.digest(stored_key, message, digest)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_final = self._sasl(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>",
            f"{without_proof},p={base64.b64encode(proof).decode()}",
        )
        expected = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
        assert server_final == f"v={base64.b64encode(expected).decode()}", "the server does not know the password"

    def _sasl(self, start, text):
        self.send(start + base64.b64encode(text.encode()).decode() + f"</{start[1:].partition(' ')[0]}>")
        answer = self.read()
        if answer.tag == f"{SASL}failure":
            raise Refused(answer[0].tag.removeprefix(SASL))
        assert answer.tag in (f"{SASL}challenge", f"{SASL}success"), answer.tag
        return base64.b64decode(answer.text).decode()
