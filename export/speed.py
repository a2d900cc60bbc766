"""How fast bundles are, taking turns in one run, so that both meet the same machine."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from statistics import median

from sam3_edge.engines.backend import PromptBatch
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.references import References, read_references
from sam3_edge.errors import ExportError

WARM_UP, ROUNDS = 3, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTime:
    """Medians, ms. vision: of its graph; decoder: of its, for all prompts."""

    vision: float
    decoder: float

    @property
    def total(self) -> float:
        return self.vision + self.decoder


def frame_times(
    bundles: Sequence[Bundle], rounds: int = ROUNDS, *, num_prompts: int = 1
) -> list[FrameTime]:
    """Each bundle's time for its first reference picture and so many of its phrases, which are
    asked again where they are too few.

    Raises EngineError, and ExportError for a bundle without reference pictures.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in bundles]
    with ExitStack() as stack:
        asked = []
        for bundle in bundles:
            references = _references(bundle)
            backend = stack.enter_context(closing(load_backend(bundle)))
            backend.image_slot(0)[...] = references.images[0]
            asked.append((backend, _prompts(references, num_prompts)))
        for number in range(WARM_UP + rounds):
            for times, (backend, prompts) in zip(taken, asked, strict=True):
                output = backend.submit(0, prompts).result()
                if number >= WARM_UP:
                    times.append((output.vision_ms, output.decoder_ms))
    return [
        FrameTime(vision=median(v for v, _ in times), decoder=median(d for _, d in times))
        for times in taken
    ]


def _references(bundle: Bundle) -> References:
    if bundle.references_path is None:
        raise ExportError(
            f"{bundle.path}: expected a bundle with reference pictures, got one without; "
            "export it again with this version"
        )
    return read_references(bundle.references_path)


def _prompts(references: References, count: int) -> PromptBatch:
    every = references.prompts()
    rows = [number % len(every) for number in range(count)]
    return PromptBatch(
        text_features=every.text_features[rows],
        exemplar_features=every.exemplar_features[rows],
        prompt_mask=every.prompt_mask[rows],
    )
