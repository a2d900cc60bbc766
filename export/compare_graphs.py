"""Each graph alone against the reference's, on the same inputs: the reference's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import PromptBatch, RawOutput, TextFeatures
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import OutputDifference
from sam3_edge.engines.references import References
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.export.agreement import ReferenceOutput, reference_output
from sam3_edge.export.evidence import Evidence
from sam3_edge.export.graph_runner import Arrays, GraphRunner, run_in_chunks
from sam3_edge.export.output_difference import note_difference, output_difference
from sam3_edge.export.query_twins import QueryTwins, query_twins

Progress = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class GraphComparison:
    """Fills picture by picture. outputs: by "graph.output", along the data path."""

    outputs: dict[str, OutputDifference] = field(default_factory=dict)
    num_queries: int = 0
    num_without_twin: int = 0

    @property
    def without_twin(self) -> float:
        return self.num_without_twin / self.num_queries if self.num_queries else 0.0

    def note(self, graph: str, expected: Arrays, got: Arrays) -> None:
        for name, wanted in expected.items():
            difference = output_difference(name, wanted, got[name])
            note_difference(self.outputs, f"{graph}.{name}", difference)

    def note_decoder(self, graph: str, expected: Arrays, got: Arrays) -> QueryTwins:
        """Queries are compared with their twins; masks only where `expected` has them."""
        twins = query_twins(expected, got)
        self.num_queries += twins.num_queries
        self.num_without_twin += twins.num_without
        mine, theirs = (twins.prompts, twins.queries), (twins.prompts, twins.twins)
        for name, wanted in expected.items():
            paired = name != "presence"
            # All of it must be finite, also what has no twin.
            came = got[name][theirs] if paired and np.isfinite(got[name]).all() else got[name]
            if paired and came is not got[name]:
                wanted = wanted[mine]
            difference = output_difference(name, wanted, came)
            note_difference(self.outputs, f"{graph}.{name}", difference)
        return twins


def compare_graphs(
    bundle: Bundle,
    runner: GraphRunner,
    reference: Bundle,
    trusted: GraphRunner,
    evidence: Evidence,
    token_ids: NDArray[np.int64],
    progress: Progress,
) -> tuple[GraphComparison, list[ReferenceOutput]]:
    """token_ids: (P, 32), the evidence's phrases.

    The differences, and what the reference makes of each picture. Raises EngineError."""
    compared = GraphComparison()

    def both(name: str, inputs: Arrays) -> tuple[Arrays, Arrays]:
        expected = run_in_chunks(trusted, reference, name, inputs)
        return expected, run_in_chunks(runner, bundle, name, inputs)

    text, got = both("text", {"token_ids": token_ids})
    compared.note("text", text, got)
    prompts = text_only_prompts(text_features(text), reference.manifest.model.num_exemplars)
    found = []
    for number, image in enumerate(evidence.images, start=1):
        progress(f"each graph alone: picture {number} of {len(evidence)}")
        seen, got = both("vision", {"image": image[None]})
        compared.note("vision", seen, got)
        decoded, got = both("decoder", decoder_inputs(seen, prompts))
        compared.note_decoder("decoder", decoded, got)
        if "exemplar" in bundle.manifest.graphs:
            asked = exemplar_inputs(reference, seen, decoded)
            compared.note("exemplar", *both("exemplar", asked))
        found.append(reference_output(**decoded))
    return compared, found


def compare_stored(
    comparison: GraphComparison, references: References, image: int, got: RawOutput
) -> None:
    """What the whole chain makes of one picture against what the bundle carries."""
    expected = {
        "logits": references.logits[image],
        "presence": references.presence[image],
        "boxes": references.boxes[image],
    }
    arrays = {name: getattr(got, name) for name in (*expected, "masks")}
    twins = comparison.note_decoder("chain", expected, arrays)
    partner = {
        (int(p), int(q)): (int(p), int(t))
        for p, q, t in zip(twins.prompts, twins.queries, twins.twins, strict=True)
    }
    for stored in np.flatnonzero(references.mask_index[:, 0] == image):
        place = partner.get(
            (int(references.mask_index[stored, 1]), int(references.mask_index[stored, 2]))
        )
        if place is not None:
            comparison.note(
                "chain", {"masks": references.masks[stored]}, {"masks": got.masks[place]}
            )


def text_features(outputs: Arrays) -> TextFeatures:
    """outputs: of the text graph."""
    return TextFeatures(features=outputs["text_features"], mask=outputs["text_mask"])


def decoder_inputs(seen: Arrays, prompts: PromptBatch) -> dict[str, NDArray[Any]]:
    """seen: the vision graph's outputs."""
    return {
        **seen,
        "text_features": prompts.text_features,
        "exemplar_features": prompts.exemplar_features,
        "prompt_mask": prompts.prompt_mask,
    }


def exemplar_inputs(reference: Bundle, seen: Arrays, decoded: Arrays) -> dict[str, NDArray[Any]]:
    """The best boxes of each prompt as exemplars, every third one unwanted, the last slot empty."""
    slots = reference.manifest.model.num_exemplars - 1
    best = np.argsort(-decoded["logits"], axis=1)[:, :slots]
    boxes = np.take_along_axis(decoded["boxes"], best[..., None], axis=1)
    place = np.arange(boxes.shape[1])
    missing = slots - boxes.shape[1]  # where there are fewer queries than slots
    return {
        "features_1x": seen["features_1x"],
        "boxes": np.pad(boxes, ((0, 0), (0, missing), (0, 0))),
        "labels": np.pad(
            np.broadcast_to(place % 3 != 2, best.shape).astype(np.int64), ((0, 0), (0, missing))
        ),
        "box_mask": np.pad(
            np.broadcast_to(place == slots - 1, best.shape),
            ((0, 0), (0, missing)),
            constant_values=True,
        ),
    }
