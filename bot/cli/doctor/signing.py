"""The checks of the operator's certificate, with which pictures are signed, and of TrustMark's networks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from limner.bot.cli.doctor.check import Check
from limner.bot.provenance.certificates import CannotSign, load
from limner.bot.provenance.manifest import Statement, read_store, signed
from limner.bot.provenance.signing import Signing
from limner.bot.provenance.source import DigitalSource
from limner.bot.provenance.trustmark import NoTrustMark, TrustMarkReader, TrustMarkWriter
from limner.bot.quantities import decimal
from limner.bot.settings import Settings
from limner.bot.storage.pictures.image_files import encode_png
from limner.bot.translation import N_, _, in_a_row

SOON = timedelta(days=30)
UNSIGNED = N_("pictures are posted with their digital source type, but unsigned (no C2PA manifest)")
WHY_UNSIGNED = N_("Pictures are posted with their digital source type, but unsigned (no C2PA manifest).")
UNSTAMPED = N_("but without a time stamp: the authority gives none that is good for C2PA")
UNMARKED = N_("Pictures have this bot's own invisible mark alone.")
MEND = N_("give a certificate for C2PA in signing_certificate and signing_key, or try with: limner certify NAME")


def certificate(settings: Settings) -> Check:
    """Whether pictures can be signed, by whom and until when."""
    if not settings.signing.is_set_up:
        return Check("warn", _(UNSIGNED), _(MEND))
    try:
        found = load(settings.signing)
    except CannotSign as error:
        return Check("fail", in_a_row([str(error), _(WHY_UNSIGNED)]), _(MEND))
    what = _("pictures are signed by {holder}, until {date}", holder=found.holder, date=found.expires.date())
    if settings.signing.authority and not _is_stamped(settings.signing):
        return Check("warn", f"{what}, {_(UNSTAMPED)}", _("look whether the address in time_stamp_authority is right"))
    if found.expires - datetime.fromtimestamp(time.time(), UTC) < SOON:
        return Check("warn", what, _("renew the certificate before that day"))
    return Check("ok", what)


def trustmark(folder: Path) -> Check:
    """Whether TrustMark's networks can be used, and how long writing one takes."""
    try:
        writer = TrustMarkWriter(folder)
        TrustMarkReader(folder)
    except NoTrustMark as error:
        return Check(
            "fail", in_a_row([str(error), _(UNMARKED)]), _("place the networks there, or empty the setting trustmark")
        )
    image, began = Image.new("RGB", (1024, 1024)), time.process_time()
    writer.marked(image, 0)
    took = decimal(1000 * (time.process_time() - began))
    return Check(
        "ok", _("pictures have a TrustMark too ({name}), in {took} ms of one core", name=writer.name, took=took)
    )


def _is_stamped(signing: Signing) -> bool:
    """Whether a picture that is signed now has a time stamp."""
    png = encode_png(Image.new("RGB", (8, 8)), "", DigitalSource.TRAINED)
    store = read_store(signed(png, "png", Statement("doctor", DigitalSource.TRAINED), signing), b"")
    return store is not None and "time" in store["manifests"][store["active_manifest"]]["signature_info"]
