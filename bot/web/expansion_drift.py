"""Expansion drift: how near expansions stay to their ideas, by model and server, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from limner.bot.queue.metrics import MetricReads
from limner.bot.storage.history.meaning import Meaning
from limner.bot.storage.tables.models import Job
from limner.bot.web.exposition import Metric, Summary
from limner.generators.language.guard import kept_share

MOST_PLACES = 200
"""Models and servers with figures of their own; what comes later counts for the server "other"."""
MOST_AT_ONCE = 64
"""Expansions of one read that are compared, the newest ones: each takes some milliseconds."""
OTHER = "other"
PLACE = ("model", "server")


class ExpansionDrift:
    """Counts expansions, and compares them with their ideas; it keeps and shows no words."""

    def __init__(self, meaning: Meaning, reads: MetricReads) -> None:
        self._meaning = meaning
        self._reads = reads
        self._places = set[tuple[str, str]]()
        expanded, kept, likeness = (f"limner_expansion{name}" for name in ("s_total", "_words_kept", "_similarity"))
        self._expanded = Metric(expanded, "counter", "Expansions by what the guard said.", (*PLACE, "result"))
        self._kept = Summary(kept, "Shares of the ideas' content words that expansions have.", PLACE)
        self._likeness = Summary(likeness, "Cosines of the embeddings of ideas and expansions.", PLACE)
        self.metrics = (self._expanded, self._kept, self._likeness)

    async def read(self, ids: Sequence[int]) -> None:
        """Count the expansions of jobs that have ended."""
        compared: list[Job] = []
        texts: list[tuple[str, str]] = []
        for job in await self._reads.expansions(ids[-MOST_AT_ONCE:]):
            expansion = job.expanded
            if expansion is None or not (expansion.model or expansion.note):
                continue  # no language model was asked
            self._expanded.add(*self._place(job), "rejected" if expansion.note else "accepted")
            if not expansion.note:
                compared.append(job)
                texts.append((job.idea, expansion.text))
        shares = await asyncio.to_thread(
            lambda: [kept_share(*pair, job.locale) for pair, job in zip(texts, compared, strict=True)]
        )
        for job, share in zip(compared, shares, strict=True):
            self._kept.observe(share, *self._place(job))
        if cosines := await self._meaning.similarities(texts):
            for job, cosine in zip(compared, cosines, strict=True):
                self._likeness.observe(cosine, *self._place(job))

    def _place(self, job: Job) -> tuple[str, str]:
        place = str(job.request["model"]), str(job.guild_id or "")
        if place not in self._places and len(self._places) >= MOST_PLACES:
            return place[0], OTHER
        self._places.add(place)
        return place
