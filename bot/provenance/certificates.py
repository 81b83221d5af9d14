"""The operator's certificate: whether it can sign, and a self-signed one to try with."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from limner.bot.errors import SetupError
from limner.bot.provenance.signing import Signing
from limner.bot.translation import N_, _

VALID_DAYS = 365
LONGEST_NAME = 40
"""Characters of a holder's name: X.509 allows 64 in a common name, which says more than the name."""

NOT_READ = N_("The file {file} cannot be read: {why}.")
NO_CERTIFICATE = N_("The file {file} is no certificate in PEM form.")
NO_KEY = N_("The file {file} is no private key in PEM form, or it has a password.")
NO_PAIR = N_("The key in {key} is not the one of the certificate in {certificate}.")
NO_ALGORITHM = N_("The key in {key} is of a kind that C2PA does not allow; use ECDSA, Ed25519 or RSA.")
EXPIRED = N_("The certificate in {file} expired on {date}.")
EARLY = N_("The certificate in {file} is valid from {date} only.")
THERE = N_("There is a certificate in {folder} already; remove both files there first if you want another one.")


@dataclass(frozen=True)
class Credentials:
    """A certificate chain and its key, in PEM form, with C2PA's name of the algorithm and the last day."""

    chain: bytes
    key: bytes
    algorithm: str
    holder: str
    serial: str
    expires: datetime


class CannotSign(Exception):
    """The certificate cannot be used; the sentence says why."""


def load(signing: Signing) -> Credentials:
    """Read the certificate and its key; raises CannotSign if they cannot sign now."""
    chain, pem = _read(signing.certificate), _read(signing.key)
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise CannotSign(_(NO_CERTIFICATE, file=signing.certificate)) from error
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise CannotSign(_(NO_KEY, file=signing.key)) from error
    if key.public_key() != leaf.public_key():
        raise CannotSign(_(NO_PAIR, key=signing.key, certificate=signing.certificate))
    if (algorithm := _algorithm(key)) is None:
        raise CannotSign(_(NO_ALGORITHM, key=signing.key))
    now = datetime.fromtimestamp(time.time(), UTC)
    if now > leaf.not_valid_after_utc:
        raise CannotSign(_(EXPIRED, file=signing.certificate, date=leaf.not_valid_after_utc.date()))
    if now < leaf.not_valid_before_utc:
        raise CannotSign(_(EARLY, file=signing.certificate, date=leaf.not_valid_before_utc.date()))
    holder, serial = leaf.subject.rfc4514_string(), str(leaf.serial_number)
    return Credentials(chain, pem, algorithm, holder, serial, leaf.not_valid_after_utc)


def make_certificate(folder: Path, holder: str) -> Signing:
    """Make a certificate for trying: signed by an authority of its own that exists for this signature only.

    C2PA refuses certificates that sign themselves, so there is a chain of two; the authority's key is forgotten.

    Raises:
        SetupError: there is one already.
    """
    signing = Signing(folder / "certificate.pem", folder / "key.pem")
    if signing.is_set_up:
        raise SetupError(_(THERE, folder=folder))
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = [_leaf(holder, key, authority), _root(holder, authority)]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(signing.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(signing.certificate, b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    return signing


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotSign(_(NOT_READ, file=file, why=error.strerror)) from error


def _write(file: Path, data: bytes) -> None:
    """Write a file that only its owner can read, and that is not there yet."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(data)


def _algorithm(key: object) -> str | None:
    """C2PA's name of the algorithm for a key (C2PA 2.2, section 13.2)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "es256", 384: "es384", 521: "es512"}.get(key.curve.key_size)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    return "ps256" if isinstance(key, rsa.RSAPrivateKey) else None


def _leaf(holder: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate with what C2PA asks of one that signs (C2PA 2.2, section 14.5)."""
    builder = _begun(_name(holder, "signer"), _name(holder, "authority"), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    return builder.add_extension(issuer, critical=False).sign(authority, SHA256())


def _root(holder: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _begun(_name(holder, "authority"), _name(holder, "authority"), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True).sign(key, SHA256())


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(time.time(), UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=VALID_DAYS))
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False)


def _name(holder: str, role: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, holder), (NameOID.COMMON_NAME, f"{holder} ({role}, self-signed)"))
    return x509.Name([x509.NameAttribute(name, value) for name, value in parts])


def _usage(**used: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})
