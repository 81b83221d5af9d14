"""The check of the operator's certificate, with which pictures are signed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from limner.bot.cli.doctor.check import Check
from limner.bot.provenance.certificates import CannotSign, load
from limner.bot.settings import Settings
from limner.bot.translation import N_, _

SOON = timedelta(days=30)
UNSIGNED = N_("pictures are posted with their digital source type, but unsigned (no C2PA manifest)")
MEND = N_("give a certificate for C2PA in signing_certificate and signing_key, or try with: limner certify NAME")


def certificate(settings: Settings) -> Check:
    """Whether pictures can be signed, by whom and until when."""
    if not settings.signing.is_set_up:
        return Check("warn", _(UNSIGNED), _(MEND))
    try:
        found = load(settings.signing)
    except CannotSign as error:
        return Check("fail", f"{error} {_(UNSIGNED)}", _(MEND))
    what = _("pictures are signed by {holder}, until {date}", holder=found.holder, date=found.expires.date())
    if found.expires - datetime.fromtimestamp(time.time(), UTC) < SOON:
        return Check("warn", what, _("renew the certificate before that day"))
    return Check("ok", what)
