"""A time stamp authority on this machine (RFC 3161, CMS of RFC 5652), and ones that misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from limner.bot.provenance import time_stamps

INTEGER, OCTETS, OID, SEQUENCE, SET, TIME, FIRST = 0x02, 0x04, 0x06, 0x30, 0x31, 0x18, 0xA0
SIGNED_DATA, STAMP = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, DIGEST, SIGNING_CERTIFICATE = (
    *("1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"),
    "1.2.840.113549.1.9.16.2.47",
)
POLICY, SHA_256, ECDSA = "1.2.3.4.1", "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"

MUCH = 256 * 2**20
"""Bytes after which an authority that says more ends."""


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 128 | len(octets)]) + octets + content


def oid(text: str) -> bytes:
    first, second, *others = map(int, text.split("."))
    found = [40 * first + second]
    for number in others:
        groups = [number >> shift & 127 for shift in range(0, max(1, number.bit_length()), 7)]
        found += [*(group | 128 for group in groups[:0:-1]), groups[0]]
    return der(OID, bytes(found))


def integer(number: int) -> bytes:
    return der(INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


def parts(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags of what stands in a sequence, each with its whole encoding."""
    place = _content(encoded)
    while place < len(encoded):
        start = place + _content(encoded[place:])
        end = start + _length(encoded[place:])
        yield encoded[place], encoded[place:end]
        place = end


def _content(encoded: bytes) -> int:
    """Where the content begins."""
    return 2 + (encoded[1] & 127 if encoded[1] > 127 else 0)


def _length(encoded: bytes) -> int:
    return int.from_bytes(encoded[2 : _content(encoded)]) if encoded[1] > 127 else encoded[1]


def usage_of_signatures() -> x509.KeyUsage:
    others = ("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    never = dict.fromkeys((*others, "content_commitment", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, **never)


@dataclass
class Authority:
    """Stamps what it is asked to with the time ``moment``; C2PA takes only the certificate of one that is ``fit``."""

    moment: datetime
    fit: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    stamped: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        issuer = ec.generate_private_key(ec.SECP256R1())
        names = [
            x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]) for name in ("Test stamps", "Test root")
        ]
        begun = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(self.key.public_key())
        begun = begun.serial_number(x509.random_serial_number())
        begun = begun.not_valid_before(self.moment - timedelta(days=1)).not_valid_after(
            self.moment + timedelta(days=99)
        )
        # What C2PA asks of an authority's certificate (C2PA 2.2, section 14.5).
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        begun = begun.add_extension(key_id, critical=False).add_extension(usage, critical=True)
        if self.fit:
            begun = begun.add_extension(usage_of_signatures(), critical=True)
        self.certificate = begun.sign(issuer, SHA256())

    def answer(self, request: bytes) -> bytes:
        """A TimeStampResp for a TimeStampReq."""
        found = list(parts(request))
        imprint = next(encoded for tag, encoded in found if tag == SEQUENCE)
        nonce = [encoded for tag, encoded in found[1:] if tag == INTEGER]
        self.stamped += 1
        moment = der(TIME, f"{self.moment:%Y%m%d%H%M%S}Z".encode())
        stamp = der(SEQUENCE, integer(1), oid(POLICY), imprint, integer(self.stamped), moment, *nonce)
        return der(SEQUENCE, der(SEQUENCE, integer(0)), self._signed(stamp))

    def _signed(self, stamp: bytes) -> bytes:
        algorithm = der(SEQUENCE, oid(SHA_256))
        own = self.certificate.public_bytes(Encoding.DER)
        attributes = b"".join(
            sorted(
                der(SEQUENCE, oid(name), der(SET, value))
                for name, value in (
                    (CONTENT_TYPE, oid(STAMP)),
                    (DIGEST, der(OCTETS, hashlib.sha256(stamp).digest())),
                    (SIGNING_CERTIFICATE, _sequences(der(OCTETS, hashlib.sha256(own).digest()))),
                )
            )
        )
        signature = self.key.sign(der(SET, attributes), ec.ECDSA(SHA256()))
        issuer = der(SEQUENCE, self.certificate.issuer.public_bytes(), integer(self.certificate.serial_number))
        signer = der(
            SEQUENCE,
            *(integer(1), issuer, algorithm, der(FIRST, attributes)),
            *(der(SEQUENCE, oid(ECDSA)), der(OCTETS, signature)),
        )
        content = der(SEQUENCE, oid(STAMP), der(FIRST, der(OCTETS, stamp)))
        data = der(SEQUENCE, integer(3), der(SET, algorithm), content, der(FIRST, own), der(SET, signer))
        return der(SEQUENCE, oid(SIGNED_DATA), der(FIRST, data))


def _sequences(encoded: bytes) -> bytes:
    """SigningCertificateV2: a sequence of a sequence of certificate ids."""
    return der(SEQUENCE, der(SEQUENCE, der(SEQUENCE, encoded)))


@contextmanager
def served(authority: Authority, says: str = "stamps") -> Generator[str]:
    """The address of an authority that ``stamps``, or says ``garbage``, stamps ``other`` data, or keeps ``silence``.

    One that says ``more`` stamps, and sends bytes until nobody listens; `Authority.sent` counts them.
    """
    time_stamps.authority.cache_clear()  # this port may be that of an authority that failed before, which is remembered
    done = threading.Event()
    answers: dict[str, Callable[[bytes], bytes]] = {
        "stamps": authority.answer,
        "garbage": lambda _request: b"hello",
        "other": lambda request: authority.answer(changed(request)),
        "more": authority.answer,
        "silence": lambda _request: bytes(not done.wait()),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = answers[says](self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            if says != "more":
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            with suppress(OSError):
                while says == "more" and authority.sent < MUCH:
                    authority.sent += self.wfile.write(bytes(2**16))

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        done.set()
        server.shutdown()
        server.server_close()


def changed(request: bytes) -> bytes:
    """The request for a stamp of other data."""
    imprint = next(encoded for tag, encoded in parts(request) if tag == SEQUENCE)
    return request.replace(imprint, imprint[:-1] + bytes([imprint[-1] ^ 1]))
