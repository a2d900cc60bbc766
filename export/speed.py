"""How fast two bundles are, taking turns in one run, so that both meet the same machine."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from statistics import median

from sam3_edge.engines.backend import PromptBatch
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.references import read_references
from sam3_edge.errors import ExportError

WARM_UP, ROUNDS = 3, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTime:
    """Medians, ms. vision: of its graph; decoder: of its, for one prompt."""

    vision: float
    decoder: float

    @property
    def total(self) -> float:
        return self.vision + self.decoder


def frame_times(bundles: Sequence[Bundle], rounds: int = ROUNDS) -> list[FrameTime]:
    """Each bundle's time for the first reference picture and one phrase.

    Raises EngineError, and ExportError for a bundle without reference pictures.
    """
    if bundles[0].references_path is None:
        raise ExportError(
            f"{bundles[0].path}: expected a bundle with reference pictures, got one without; "
            "export it again with this version"
        )
    references = read_references(bundles[0].references_path)
    every = references.prompts()
    prompt = PromptBatch(
        text_features=every.text_features[:1],
        exemplar_features=every.exemplar_features[:1],
        prompt_mask=every.prompt_mask[:1],
    )
    taken: list[list[tuple[float, float]]] = [[] for _ in bundles]
    with ExitStack() as stack:
        backends = [stack.enter_context(closing(load_backend(bundle))) for bundle in bundles]
        for backend in backends:
            backend.image_slot(0)[...] = references.images[0]
        for number in range(WARM_UP + rounds):
            for times, backend in zip(taken, backends, strict=True):
                output = backend.submit(0, prompt).result()
                if number >= WARM_UP:
                    times.append((output.vision_ms, output.decoder_ms))
    return [
        FrameTime(vision=median(v for v, _ in times), decoder=median(d for _, d in times))
        for times in taken
    ]
