"""One run on one machine, top to bottom: batches in, weights out."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from sam3_edge.errors import DatasetError, TrainingError
from sam3_edge.training.checkpoint import RunState, load_state, save_state
from sam3_edge.training.losses import LossWeights, detector_losses
from sam3_edge.training.mixture import Mixture, Source
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import WeightsMetadata, save_weights
from sam3_edge.training.targets import Batch

STATE_NAME, WEIGHTS_NAME, LOG_NAME = "state.pt", "weights.safetensors", "log.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """minutes, steps: where the run ends, and what the learning rate's cosine is stretched over;
    exactly one is given. learning_rate: its peak, after `warmup_steps`. clip: of the gradient's
    norm. average_decay: of the exponential moving average of the weights, which is what is saved.
    """

    out: Path
    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 6e-4
    final_share: float = 0.01
    warmup_steps: int = 100
    weight_decay: float = 0.02
    clip: float = 5.0
    average_decay: float = 0.998
    seed: int = 0
    bfloat16: bool = True
    workers: int = 1
    save_every_s: float = 120.0
    log_every: int = 10
    weights: LossWeights = field(default_factory=LossWeights)

    def fingerprint(self) -> str:
        return f"seed {self.seed}, batch size {self.batch_size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """progress: 0..1 of the run. losses: weighted, by part. images_per_s: since the last report."""

    step: int
    progress: float
    elapsed_s: float
    losses: dict[str, float]
    learning_rate: float
    images_per_s: float


def train(
    detector: Detector,
    sources: Sequence[Source],
    settings: RunSettings,
    metadata: WeightsMetadata,
    *,
    resume: bool = False,
    report: Callable[[StepReport], None],
) -> Path:
    """Train and write `weights.safetensors`, the averaged weights in FP16; returns its path.

    A checkpoint is written every `save_every_s` and on interruption; `resume` continues from it
    with the batches that would have come next. Raises TrainingError for a folder that holds a run
    already or cannot be written, and for a non-finite loss or gradient, whose step is not taken.
    """
    state_path = settings.out / STATE_NAME
    _open_folder(settings.out, resume=resume)
    model = detector.train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = AdamW(parameter_groups(model, settings.weight_decay), lr=settings.learning_rate)
    decay = get_ema_multi_avg_fn(settings.average_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
    torch.manual_seed(settings.seed)
    step, elapsed = 0, 0.0
    if resume:
        step, elapsed = _restore(state_path, settings, model, average, optimizer)
    batches = _batches(sources, settings, detector, step)
    started = time.monotonic() - elapsed
    saved = logged = time.monotonic()
    try:
        while (progress := _progress(settings, step, time.monotonic() - started)) < 1.0:
            rate = learning_rate(settings, step, progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            parts = training_step(model, next(batches), optimizer, settings)
            average.update_parameters(model)
            step += 1
            now = time.monotonic()
            if step % settings.log_every == 0:
                images = settings.batch_size * settings.log_every / (now - logged)
                logged = now
                one = StepReport(
                    step=step,
                    progress=progress,
                    elapsed_s=now - started,
                    losses=parts,
                    learning_rate=rate,
                    images_per_s=images,
                )
                _log(settings.out / LOG_NAME, one)
                report(one)
            if now - saved > settings.save_every_s:
                saved = now
                _save(state_path, settings, step, now - started, model, average, optimizer)
    finally:
        _save(state_path, settings, step, time.monotonic() - started, model, average, optimizer)
    averaged = average.module
    assert isinstance(averaged, Detector)
    path = settings.out / WEIGHTS_NAME
    save_weights(averaged, path, metadata, half=True)
    return path


def training_step(
    model: Detector, batch: Batch, optimizer: torch.optim.Optimizer, settings: RunSettings
) -> dict[str, float]:
    """One gradient step; the weighted parts of the loss, and their sum as "total"."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bfloat16):
        output = model(batch.images, batch.token_ids, batch.image_index)
    parts = detector_losses(output, batch.targets, settings.weights)
    total = torch.stack(list(parts.values())).sum()
    values = {name: float(part.detach()) for name, part in parts.items()}
    _check_finite("loss", values)
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.clip))
    if not math.isfinite(norm):
        _check_finite(
            "gradient",
            {n: float(p.grad.norm()) for n, p in model.named_parameters() if p.grad is not None},
        )
    optimizer.step()
    return {**values, "total": float(total.detach())}


def _check_finite(what: str, values: dict[str, float]) -> None:
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise TrainingError(
            f"training: expected a finite {what}, got one that is not in {', '.join(wrong[:5])} "
            f"({len(wrong)} of {len(values)}); lower --lr and continue with --resume"
        )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels; none on biases, norms, embeddings and single tokens."""
    decayed: list[Tensor] = []
    kept: list[Tensor] = []
    for name, parameter in model.named_parameters():
        embedding = "embed" in name.split(".")[-2:][0] or "pos_embed" in name
        (kept if parameter.ndim < 2 or embedding else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]


def learning_rate(settings: RunSettings, step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine over the run down to `final_share` of the peak."""
    warm = min((step + 1) / max(settings.warmup_steps, 1), 1.0)
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    share = settings.final_share + (1.0 - settings.final_share) * cosine
    return settings.learning_rate * warm * share


def _progress(settings: RunSettings, step: int, elapsed_s: float) -> float:
    if settings.steps is not None:
        return step / settings.steps
    assert settings.minutes is not None
    return elapsed_s / (60.0 * settings.minutes)


def _batches(
    sources: Sequence[Source], settings: RunSettings, detector: Detector, first_step: int
) -> Iterator[Batch]:
    stream = Mixture(
        sources,
        seed=settings.seed,
        first_step=first_step,
        batch_size=settings.batch_size,
        image_size=detector.config.image_size,
        mask_side=4 * detector.config.tokens_per_side,
    )
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
        worker_init_fn=_ignore_interrupt,
        # A forked worker would inherit OpenCV's threads half alive, and wait for them for ever.
        multiprocessing_context="spawn" if settings.workers else None,
    )
    for batch in loader:
        if isinstance(batch, DatasetError):
            raise batch
        yield batch


def _ignore_interrupt(_worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the one that trains ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _open_folder(out: Path, *, resume: bool) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = (out / STATE_NAME).exists()
    except OSError as error:
        raise TrainingError(
            f"{out}: expected a folder that can be written, got: {error.strerror}; choose another --out"
        ) from error
    if held and not resume:
        raise TrainingError(
            f"{out}: expected a new folder, got one that holds a run; continue it with --resume, "
            "or choose another --out"
        )


def _restore(
    path: Path,
    settings: RunSettings,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> tuple[int, float]:
    state = load_state(path, settings.fingerprint())
    model.load_state_dict(state.model)
    average.load_state_dict(state.average)
    optimizer.load_state_dict(state.optimizer)
    torch.set_rng_state(state.random_state)
    return state.step, state.elapsed_s


def _save(
    path: Path,
    settings: RunSettings,
    step: int,
    elapsed_s: float,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = RunState(
        step=step,
        elapsed_s=elapsed_s,
        fingerprint=settings.fingerprint(),
        model=model.state_dict(),
        average=average.state_dict(),
        optimizer=optimizer.state_dict(),
        random_state=torch.get_rng_state(),
    )
    save_state(path, state)


def _log(path: Path, report: StepReport) -> None:
    line = {
        "step": report.step,
        "elapsed_s": round(report.elapsed_s, 1),
        "lr": report.learning_rate,
        "images_per_s": round(report.images_per_s, 1),
        **{name: round(value, 4) for name, value in report.losses.items()},
    }
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise TrainingError(
            f"cannot write {path}: {error.strerror}; free space and continue with --resume"
        ) from error
