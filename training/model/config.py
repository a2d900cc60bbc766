"""Every dimension of the model, in one frozen value, and the presets.

`full` is SAM 3's detector as facebookresearch/sam3 builds it. `small` is the product. `nano` differs
from SAM 3 where its size needs it: a stem that knows photos, lateral connections, separable convolutions,
one pixel decoder pass a picture instead of one a prompt, and first queries taken from the picture.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from sam3_edge.errors import UsageError

T = TypeVar("T")
# Said by options of their own.
_NOT_OVERRIDDEN = ("preset", "image_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkConfig:
    """The vision transformer.

    stem: "patch" is one convolution of size and stride `stride`; "efficientnet" the first stages
        of an EfficientNet-Lite, with a stride of 16. backbone: which one. whole_backbone: its last
        stages, at a stride of 32, join the tokens: what they learned of kinds of things comes along.
    pretrain_image_size: its token grid is that of the learned absolute positions.
    positions: what they do where the picture is not of that size: "tile" repeats them, as SAM 3,
        whose pretraining grid is a window; "stretch" interpolates linearly between them.
    """

    width: int = 1024
    depth: int = 32
    heads: int = 16
    mlp_ratio: float = 4.625
    stride: int = 14
    window: int = 24
    global_blocks: tuple[int, ...] = (7, 15, 23, 31)
    pretrain_image_size: int = 336
    drop_path: float = 0.1
    stem: Literal["patch", "efficientnet"] = "patch"
    backbone: Literal["lite0", "lite1", "lite2"] = "lite0"
    whole_backbone: bool = False
    positions: Literal["tile", "stretch"] = "tile"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeckConfig:
    """scales: of the maps relative to the tokens; the last `scalp` are computed and dropped by the
    reference, and exist here only as parameters. laterals: add the stem's maps (stem "efficientnet").
    """

    scales: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5)
    scalp: int = 1
    laterals: bool = False
    separable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """projection_width: of CLIP's pooled projection, which the detector never reads; 0: none."""

    width: int = 1024
    heads: int = 16
    layers: int = 24
    context_length: int = 32
    vocabulary: int = 49408
    projection_width: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryConfig:
    """num_exemplars: E, slots of the decoder graph (the class token and E - 1 boxes).
    points: the reference's point projections, which the detector never reads.
    """

    layers: int = 3
    roi_size: int = 7
    num_exemplars: int = 8
    points: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """query_init: "learned" embeddings, or "proposals": boxes and contents of the best cells of a
    dense head on the map of `proposal_scale` times the tokens a side, scored against the prompt.
    one_to_many: in training each query has a twin that attends to no other query and may answer
    for an object together with others. Of no weight at inference.
    """

    layers: int = 6
    num_queries: int = 200
    query_init: Literal["learned", "proposals"] = "learned"
    proposal_scale: Literal[2, 4] = 2
    one_to_many: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationConfig:
    """pixels_from: "encoder" decodes the prompt's fused tokens into pixels (SAM 3), "image" the
    picture's own maps, once for all prompts. stages: convolutions of the pixel decoder; SAM 3
    builds three and runs two. positions: pixels know where they are and queries where their box is,
    so that two fish are told apart before anything else is learned.
    """

    stages: int = 3
    pixels_from: Literal["encoder", "image"] = "encoder"
    semantic: bool = True
    separable: bool = False
    positions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """image_size: S, pixels of the square input. d_model: C, channels after the neck.

    Raises UsageError for an image size that the trunk's stride does not divide.
    """

    preset: str
    image_size: int = 1008
    d_model: int = 256
    heads: int = 8
    feedforward: int = 2048
    fusion_layers: int = 6
    dropout: float = 0.1
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    neck: NeckConfig = field(default_factory=NeckConfig)
    text: TextConfig = field(default_factory=TextConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)

    def __post_init__(self) -> None:
        stride, least = self.trunk.stride, self.least_image_size
        if self.image_size < least or self.image_size % stride:
            below = max(self.image_size // stride * stride, least)
            raise UsageError(
                f"image size: expected a multiple of {stride} from {least} on (a token of "
                f"{self.preset} covers {stride} pixels), got {self.image_size}; use {below} or "
                f"{below + stride}"
            )

    @property
    def tokens_per_side(self) -> int:
        """s: the token grid is (s, s)."""
        return self.image_size // self.trunk.stride

    @property
    def least_image_size(self) -> int:
        """Pixels: one token, or so many that every query has a cell to be proposed from."""
        if self.decoder.query_init == "learned":
            return self.trunk.stride
        cells = math.isqrt(self.num_queries - 1) + 1
        return -(-cells // self.decoder.proposal_scale) * self.trunk.stride

    @property
    def num_queries(self) -> int:
        return self.decoder.num_queries

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


FULL = ModelConfig(preset="full")

JOURNEY = ModelConfig(
    preset="journey",
    trunk=TrunkConfig(depth=16, global_blocks=(3, 7, 11, 15)),
    text=TextConfig(layers=16),
    decoder=DecoderConfig(num_queries=100),
)

SMALL = ModelConfig(
    preset="small",
    image_size=252,
    trunk=TrunkConfig(
        width=768,
        depth=16,
        heads=12,
        mlp_ratio=4.0,
        window=6,
        global_blocks=(3, 7, 11, 15),
        pretrain_image_size=252,
    ),
    text=TextConfig(width=512, heads=8, layers=12),
    decoder=DecoderConfig(layers=4, num_queries=100),
)

NANO = ModelConfig(
    preset="nano",
    image_size=336,
    d_model=96,
    heads=4,
    feedforward=256,
    fusion_layers=1,
    dropout=0.0,
    trunk=TrunkConfig(
        width=192,
        depth=4,
        heads=6,
        mlp_ratio=3.0,
        stride=16,
        window=7,
        global_blocks=(1, 3),
        pretrain_image_size=336,
        drop_path=0.0,
        stem="efficientnet",
    ),
    neck=NeckConfig(scales=(4.0, 2.0, 1.0), scalp=0, laterals=True, separable=True),
    text=TextConfig(width=64, heads=4, layers=3, projection_width=0),
    geometry=GeometryConfig(layers=1, points=False),
    decoder=DecoderConfig(layers=3, num_queries=48, query_init="proposals"),
    segmentation=SegmentationConfig(
        stages=2, pixels_from="image", semantic=False, separable=True, positions=True
    ),
)

TINY = ModelConfig(
    preset="tiny",
    image_size=252,
    d_model=64,
    feedforward=128,
    fusion_layers=2,
    dropout=0.0,
    trunk=TrunkConfig(
        width=64,
        depth=4,
        heads=4,
        mlp_ratio=4.0,
        window=6,
        global_blocks=(1, 3),
        pretrain_image_size=126,
        drop_path=0.0,
    ),
    text=TextConfig(width=32, heads=4, layers=3),
    geometry=GeometryConfig(layers=2),
    decoder=DecoderConfig(layers=3, num_queries=20),
)

PRESETS: dict[str, ModelConfig] = {c.preset: c for c in (FULL, JOURNEY, SMALL, NANO, TINY)}


def preset(
    name: str, *, image_size: int | None = None, overrides: Mapping[str, Any] | None = None
) -> ModelConfig:
    """The named preset, at another input size if one is given, with other dimensions where
    `overrides` has them, by the names of ModelConfig: {"trunk": {"depth": 2}}. Raises UsageError.
    """
    if name not in PRESETS:
        raise UsageError(f"model preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    config = _overridden(PRESETS[name], overrides or {}, "")
    return config if image_size is None else replace(config, image_size=image_size)


def overrides_of(config: ModelConfig) -> dict[str, Any]:
    """What `preset` needs to make this configuration out of its preset; values fit for JSON."""
    return _differences(PRESETS[config.preset], config, "")


def _differences(usual: Any, other: Any, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in get_type_hints(type(usual)):
        before, after = getattr(usual, name), getattr(other, name)
        if before == after or path + name in _NOT_OVERRIDDEN:
            continue
        nested = is_dataclass(before)
        found[name] = _differences(before, after, f"{path}{name}.") if nested else after
    return found


def _overridden(config: T, overrides: Mapping[str, Any], path: str) -> T:
    kinds = get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for name, value in overrides.items():
        full = f"{path}{name}"
        if name not in kinds or full in _NOT_OVERRIDDEN:
            known = ", ".join(one for one in kinds if path + one not in _NOT_OVERRIDDEN)
            raise UsageError(f"model overrides: expected one of {known}, got {full}; correct it")
        before = getattr(config, name)
        if is_dataclass(before):
            if not isinstance(value, Mapping):
                raise UsageError(f"model overrides: expected dimensions of {full}, got {value!r}")
            changes[name] = _overridden(before, value, f"{full}.")
        else:
            changes[name] = _checked(full, kinds[name], before, value)
    made: T = replace(config, **changes)  # type: ignore[type-var]
    return made


def _checked(full: str, kind: Any, before: object, value: object) -> object:
    """`value`, of the type of the one it replaces: a list stands for a tuple, an int for a float."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        expected = f"one of {', '.join(map(str, get_args(kind)))}"
    else:
        expected = f"a value like {before!r}"
        made = tuple(value) if isinstance(before, tuple) and isinstance(value, list) else value
        made = float(made) if isinstance(before, float) and type(made) is int else made
        if type(made) is type(before):
            return made
    raise UsageError(f"model overrides: expected {expected} for {full}, got {value!r}; correct it")
