"""A detector that computes what its frozen image encoder makes of a picture only once."""

import hashlib
from functools import partial
from pathlib import Path

from torch import Tensor

from sam3_edge.errors import UsageError
from sam3_edge.training.config.schema import DataSection
from sam3_edge.training.feature_cache import FeatureCache, cached_features, trunk_key
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import ImageFeatures


def cache_pictures(detector: Detector, section: DataSection) -> None:
    """From now on, while it is trained, image features come from section.feature_cache.

    A picture's name there is a hash of its pixels, so that no two can be confused. Raises
    UsageError where pictures are augmented, since hardly one would come a second time.
    """
    assert section.feature_cache is not None
    if section.augment.enabled:
        raise UsageError(
            "trainer.data.feature_cache: expected pictures that are not augmented, got "
            "trainer.data.augment.enabled=true; set it to false"
        )
    cache = FeatureCache(Path(section.feature_cache), trunk_key(detector))
    detector.encode_image = partial(_encoded, detector, cache)  # type: ignore[method-assign]


def _encoded(detector: Detector, cache: FeatureCache, images: Tensor) -> ImageFeatures:
    """In evaluation mode, in which the cache itself calls this, it is the encoder as it is."""
    if not detector.training:
        return Detector.encode_image(detector, images)
    names = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images.cpu()]
    return cached_features(detector, cache, names, images)
