"""The digital source types of IPTC that our pictures have, and where a file without a manifest says so (XMP)."""

from __future__ import annotations

from enum import StrEnum

URL = "http://cv.iptc.org/newscodes/digitalsourcetype/"


class DigitalSource(StrEnum):
    """How a picture came about (https://cv.iptc.org/newscodes/digitalsourcetype/)."""

    #: A model made it, of words or of other pictures.
    TRAINED = "trainedAlgorithmicMedia"
    #: A model made parts of it; the rest is a given picture, or drawn beside them.
    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
    #: A given picture was enlarged or adjusted.
    ENHANCED = "algorithmicallyEnhanced"


def xmp(source: DigitalSource) -> str:
    """An XMP packet with the digital source type (IPTC Photo Metadata Standard 2023.2)."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{URL}{source}</Iptc4xmpExt:DigitalSourceType>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )


def source_in(packet: bytes | str) -> DigitalSource | None:
    """The digital source type in an XMP packet of ours; None if it has none of them."""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    return next((one for one in DigitalSource if f"{URL}{one}<" in text), None)
