"""Turns a request into a loop of the stock pipeline: checks it, sets the models up, encodes its words."""

# pyright: basic

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from limner.generators.animation import Between
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.refused_references import refused_together
from limner.generators.diffusion.attention_maps import AttentionMaps
from limner.generators.diffusion.blending import between
from limner.generators.diffusion.edges import Edges
from limner.generators.diffusion.flight import Flight
from limner.generators.diffusion.loras import Adapters
from limner.generators.diffusion.pipelines import Pipelines, arguments
from limner.generators.diffusion.shared_parts import Shared
from limner.generators.diffusion.textual_inversion import TextualInversions
from limner.generators.diffusion.weighted_prompts import embeddings, has_weights
from limner.generators.diffusion.word_tokens import tokens_of_prompt, tokens_of_weighted
from limner.generators.errors import BadRequest
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

STILL = sentence("This model paints videos only; choose another one for a picture.")
NO_VIDEO = sentence("This model paints no videos; choose another one.")
FRAMES = sentence("This model's videos have other numbers of frames; ask for {nearest}.")
MULTIPLES = sentence("This model needs a width and height that are multiples of {step}; change the size.")


class Admission:
    """Makes flights of requests for one model, with its LoRAs, references and joined edges."""

    def __init__(
        self, card: ModelCard, pipe: DiffusionPipeline, pipelines: Pipelines, embeddings: TextualInversions
    ) -> None:
        self._card = card
        self._embeddings = embeddings
        self._pipelines = pipelines
        self._adapters = Adapters(pipe, card.loras)
        self._edges = Edges(pipe)
        self._shared: dict[int, Shared] = {}

    def check(self, request: GenerationRequest) -> None:
        """Raise BadRequest for what the model does not support."""
        self._check_video(request)
        self._adapters.check(request)
        if (request.mask or request.strength is not None) and not request.init_image:
            raise BadRequest(sentence("A mask and a strength need a picture to start from; ask again with one."))
        if request.strength is not None and self._pipelines.edits:
            raise BadRequest(sentence("This model changes a picture as the words say; ask again without a strength."))
        if request.num_inference_steps < 1 or request.num_images_per_prompt < 1:
            raise BadRequest(sentence("A painting takes at least one step and one picture; ask for more."))
        if (
            request.strength is not None
            and not 1 <= request.strength * request.num_inference_steps <= request.num_inference_steps
        ):
            raise BadRequest(
                sentence("The strength is at most 1 and must leave at least one step; change it or take more steps.")
            )
        if request.explained and not self._card.explains:
            raise BadRequest(sentence("This model cannot show which words drew what; choose another one."))
        self._pipelines.controlnets.check(request)
        self._pipelines.adapters.check(request)
        if why := refused_together(self._card, request):
            raise BadRequest(why)
        if request.tile and not self._pipelines.has_unet:
            raise BadRequest(sentence("This model cannot join a picture's edges; ask again without tile."))
        step = self._card.multiple_of
        if min(request.width, request.height) < step or request.width % step or request.height % step:
            raise BadRequest(sentence(MULTIPLES, step=step))

    def _check_video(self, request: GenerationRequest) -> None:
        if self._pipelines.is_video != request.is_video:
            raise BadRequest(NO_VIDEO if request.is_video else STILL)
        video = self._card.video
        if request.is_video and video and request.frames not in video.counts:
            raise BadRequest(sentence(FRAMES, nearest=video.nearest(request.frames)))

    def prepare(self, request: GenerationRequest) -> None:
        """Set the models up for calls of requests with this one's `parts_key`."""
        self._adapters.attach(request)
        self._pipelines.adapters.attach(request)
        self.join_edges(request)

    def join_edges(self, request: GenerationRequest) -> None:
        """Let the picture's opposite edges continue each other if the request says so, or no more."""
        self._edges.join(request.tile)

    def flight(self, key: str, request: GenerationRequest) -> Flight:
        """The request's loop up to its first denoiser call, with the prompts that it changes to."""
        flight = self._begin(key, request)
        for step, prompt in request.steering:
            self.steer(flight, step, prompt)
        if request.between and request.between.share:
            self._blend(flight, request.between)
        return flight

    def steer(self, flight: Flight, step: int, prompt: str) -> None:
        """Give a flight the words that the stock pipeline would denoise from with that prompt."""
        other = self._begin("", replace(flight.request, prompt=prompt, references=()))
        flight.steer(step, other.words, self._maps(other.request))
        other.stop()

    def _blend(self, flight: Flight, where: Between) -> None:
        """Give a flight words between its own and another prompt's."""
        words = {"prompt": where.prompt, "negative_prompt": where.negative_prompt}
        other = self._begin("", replace(flight.request, **words, between=None, references=()))
        flight.steer(0, between(flight.words, other.words, where.share))
        other.stop()

    def _begin(self, key: str, request: GenerationRequest) -> Flight:
        self.prepare(request)
        pipe, scheduler = self._pipelines.pipeline(request), self._pipelines.scheduler(request.scheduler)
        if id(pipe) not in self._shared:  # a pipeline is kept as long as this admission
            self._shared[id(pipe)] = Shared(pipe)
        shared, arguments = self._shared[id(pipe)], self._arguments(pipe, request)
        more = {"loras": self._adapters.attached, "maps": self._maps(request)}
        return Flight(key, request, shared, scheduler, arguments, **more)

    def _maps(self, request: GenerationRequest) -> AttentionMaps | None:
        """Maps of an explained request's words, without anything in them yet; None for other requests."""
        if not request.explained:
            return None
        request = self._embeddings.spelled(request)
        pipe, prompt = self._pipelines.pipeline(request), request.prompt
        if self._is_embedded(request):
            words = tokens_of_weighted(pipe, prompt, in_chunks=self._card.chunks)
        else:
            words = tokens_of_prompt(pipe, prompt, self._pipelines.longest(request))
        return AttentionMaps(words, request.size) if words else None

    def _is_embedded(self, request: GenerationRequest) -> bool:
        """Whether its prompts come as embeddings: those with weights, and long ones in chunks."""
        is_long = self._card.chunks and any(self._pipelines.unread(request))
        return self._pipelines.has_unet and (is_long or has_weights(request))

    def _arguments(self, pipe: DiffusionPipeline, request: GenerationRequest) -> dict[str, Any]:
        """The arguments of the stock call."""
        request = self._embeddings.spelled(request)
        given = arguments(pipe, request)
        if not self._is_embedded(request):
            return given
        words = {name: value for name, value in given.items() if name not in ("prompt", "negative_prompt")}
        return words | embeddings(pipe, request, in_chunks=self._card.chunks)
