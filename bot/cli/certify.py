"""`limner certify`: a self-signed certificate to try signed pictures with, and what others see of it."""

from __future__ import annotations

from limner.bot.provenance.certificates import LONGEST_NAME, load, make_certificate
from limner.bot.provenance.signing import FOLDER
from limner.bot.settings import Settings
from limner.bot.translation import N_, _

MADE = N_("""\
Wrote {certificate} and {key}, valid until {date}. From now on pictures are signed with them.
A verifier will show: made with AI by Limner, signed by {name}, unchanged since then - and that it does not know the
signer, because nobody vouches for this certificate. For a known signer, get a certificate for C2PA from an authority
(https://c2pa.org/conformance) and name its files in `signing_certificate` and `signing_key`.
Keep {key} to yourself: who has it can sign as you.""")


def certify(settings: Settings, name: str) -> None:
    """Make the certificate; raises SetupError if there is one."""
    signing = make_certificate(settings.data / FOLDER, name[:LONGEST_NAME])
    date = load(signing).expires.date()
    print(_(MADE, certificate=signing.certificate, key=signing.key, date=date, name=name[:LONGEST_NAME]))
