"""COCO box AP of a bundle, as `sam3-edge eval` measures it. Needs pycocotools."""

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend
from sam3_edge.training.evaluation.bundle_answers import bundle_answers
from sam3_edge.training.evaluation.coco_scores import coco_scores
from sam3_edge.training.evaluation.pictures import JudgedPictures, each


def box_ap(
    bundle: Bundle, pictures: JudgedPictures, *, num_threads: int | None = None
) -> float | None:
    """0..1 at IoU 0.50:0.95; None where there is nothing to find. Raises EngineError."""
    backend = load_backend(bundle, num_threads=num_threads)
    try:
        slots = bundle.manifest.model.num_exemplars
        answers = bundle_answers(backend, slots, pictures.phrases, each(pictures), masks=False)
        return coco_scores(list(answers), "bbox").mean.ap
    finally:
        backend.close()
