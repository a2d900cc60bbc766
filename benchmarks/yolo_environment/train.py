"""Trains a YOLOX for so many minutes of one machine and writes it as ONNX.

Run by ../yolo_baseline.py in an environment of its own (requirements.txt). The network, SimOTA, the
losses, mosaic, colours, the rates' schedule and the moving average are YOLOX's (arXiv:2107.08430),
from the package pixeltable-yolox (Apache-2.0). Its own loop needs CUDA and counts epochs: this one
trains on a processor and counts minutes, the interrupted ones too.
"""

import argparse
import fcntl
import json
import math
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from lite0 import Lite0Backbone
from torch import Tensor
from yolox.config import YoloxConfig
from yolox.data import (
    CocoDataset,
    DataLoader,
    InfiniteSampler,
    MosaicDetection,
    TrainTransform,
    YoloBatchSampler,
)
from yolox.models import YoloPafpn, YoloxHead, YoloxModule
from yolox.utils import LRScheduler, ModelEMA

# Depth and width, as YOLOX names them; nano has depthwise convolutions.
SIZES = {"nano": (0.33, 0.25), "tiny": (0.33, 0.375), "s": (0.33, 0.5)}
CHANNELS = (256, 512, 1024)
EPOCHS, WARM_UP, WITHOUT_MOSAIC = 300, 5, 15  # YOLOX's schedule, which the minutes are mapped on
ADAMW_RATE = 1e-3
SAVE_EVERY_S, SAY_EVERY_S = 60.0, 20.0
RESIZE_EVERY, RESIZE_BY = 10, 2  # steps; multiples of 32 pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """work: holds pictures.json, COCO's annotations with absolute paths, and what is written.

    size: of SIZES. backbone: lite0 or random. optimizer: adamw, or sgd with YOLOX's rate.
    """

    work: Path
    minutes: float
    size: str
    image_size: int
    backbone: str
    optimizer: str
    batch_size: int
    threads: int
    workers: int
    bf16: bool
    seed: int


class Float32Losses(YoloxHead):
    """Boxes, matching and losses in float32 where the convolutions are in bfloat16."""

    def get_output_and_grid(self, output, k, stride, dtype):  # type: ignore[no-untyped-def]  # noqa: ARG002
        return super().get_output_and_grid(output.float(), k, stride, "torch.FloatTensor")

    def get_losses(self, imgs, x_shifts, y_shifts, strides, labels, outputs, origin, dtype):  # type: ignore[no-untyped-def]  # noqa: ARG002
        strides, origin = [s.float() for s in strides], [o.float() for o in origin]
        with torch.autocast("cpu", enabled=False):
            return super().get_losses(
                imgs, x_shifts, y_shifts, strides, labels, outputs, origin, torch.float32
            )


def build_model(settings: Settings, num_classes: int) -> YoloxModule:
    depth, width = SIZES[settings.size]
    depthwise = settings.size == "nano"
    neck = YoloPafpn(depth, width, in_channels=CHANNELS, depthwise=depthwise)
    if settings.backbone == "lite0":
        neck.backbone = Lite0Backbone(tuple(int(c * width) for c in CHANNELS))
    head = Float32Losses(num_classes, width, in_channels=CHANNELS, depthwise=depthwise)
    config = YoloxConfig(name=settings.size, num_classes=num_classes, depth=depth, width=width)
    config.model = YoloxModule(neck, head)
    return config.get_model()  # sets norms and first biases


def build_optimizer(settings: Settings, model: YoloxModule) -> tuple[torch.optim.Optimizer, float]:
    """And its highest rate. Weights of convolutions decay, nothing else."""
    trained = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    if settings.optimizer == "adamw":
        groups = [{"params": kernels, "weight_decay": 0.02}, {"params": others, "weight_decay": 0}]
        return torch.optim.AdamW(groups, lr=ADAMW_RATE), ADAMW_RATE
    rate = YoloxConfig.basic_lr_per_img * settings.batch_size
    groups = [{"params": kernels, "weight_decay": 5e-4}, {"params": others}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True), rate


def batches(settings: Settings, dataset: CocoDataset, *, mosaic: bool, seed: int) -> DataLoader:
    """Endless. YOLOX's augmentation of its small models: no mix-up, mosaics of 0.5 to 1.5."""
    side = (settings.image_size, settings.image_size)
    mixed = MosaicDetection(
        dataset,
        mosaic=mosaic,
        img_size=side,
        preproc=TrainTransform(max_labels=120),
        enable_mixup=False,
    )
    sampler = YoloBatchSampler(
        InfiniteSampler(len(mixed), seed=seed),
        batch_size=settings.batch_size,
        drop_last=False,
        mosaic=mosaic,
    )
    return DataLoader(mixed, batch_sampler=sampler, num_workers=settings.workers)


class Run:
    """One training: its model, its clock and its checkpoint."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.checkpoint = settings.work / "checkpoint.pt"
        listed = settings.work / "pictures.json"
        self.classes = [c["name"] for c in json.loads(listed.read_text())["categories"]]
        self.dataset = CocoDataset(
            data_dir=os.fspath(settings.work),
            json_file=os.fspath(listed),
            name=".",
            img_size=(settings.image_size, settings.image_size),
            cache=True,
        )
        self.model = build_model(settings, len(self.classes)).to(memory_format=torch.channels_last)
        self.optimizer, rate = build_optimizer(settings, self.model)
        self.schedule = LRScheduler(
            "yoloxwarmcos",
            rate,
            1,
            EPOCHS,
            warmup_epochs=WARM_UP,
            warmup_lr_start=0,
            no_aug_epochs=WITHOUT_MOSAIC,
            min_lr_ratio=0.05,
        )
        self.average = ModelEMA(self.model, 0.9998)
        self.seconds, self.steps = 0.0, 0
        if self.checkpoint.exists():
            self._restore()

    @property
    def share(self) -> float:
        """0..1 of the minutes that are over."""
        return min(self.seconds / (60.0 * self.settings.minutes), 1.0)

    def train(self) -> None:
        """Until the minutes are over. Time spent saving and starting does not count."""
        last = 1.0 - WITHOUT_MOSAIC / EPOCHS
        for mosaic, until in ((True, last), (False, 1.0)):
            self.model.head.use_l1 = not mosaic
            if self.share < until:
                self._train_until(until, mosaic=mosaic)
        self.save()

    def _train_until(self, until: float, *, mosaic: bool) -> None:
        seed = self.settings.seed + self.steps
        source = iter(batches(self.settings, self.dataset, mosaic=mosaic, seed=seed))
        side = self.settings.image_size
        saved = said = time.monotonic()
        while self.share < until:
            begun = time.monotonic()
            pictures, labels, _, _ = next(source)
            if mosaic and self.steps % RESIZE_EVERY == 0:
                side = self.settings.image_size + 32 * random.randint(-RESIZE_BY, RESIZE_BY)
            losses = self._step(*resized(pictures, labels, side))
            now = time.monotonic()
            self.seconds += now - begun
            if now - said > SAY_EVERY_S:
                said = now
                print(f"{self.seconds / 60:6.1f} min  step {self.steps}  {losses}", flush=True)
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()

    def _step(self, pictures: Tensor, labels: Tensor) -> str:
        rate = self.schedule.update_lr(self.share * EPOCHS)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bf16):
            losses = self.model(pictures, labels)
        total = losses["total_loss"]
        said = {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}
        if not math.isfinite(said["total_loss"]):
            raise SystemExit(f"the loss is {said['total_loss']} at step {self.steps}")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.average.update(self.model)
        self.steps += 1
        return "  ".join(f"{name} {value:.2f}" for name, value in said.items())

    def save(self) -> None:
        """A kill at any time leaves the one before."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.ema.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "seconds": self.seconds,
            "steps": self.steps,
        }
        building = self.checkpoint.with_suffix(".tmp")
        torch.save(state, building)
        building.replace(self.checkpoint)

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.ema.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.seconds, self.steps = state["seconds"], state["steps"]
        print(f"goes on after {self.seconds / 60:.1f} minutes, step {self.steps}", flush=True)

    def export(self) -> None:
        """model.onnx: (1, 3, S, S) float32 BGR 0..255 -> (1, N, 5 + classes), cxcywh pixels of the
        square, objectness and class probabilities. model.json: what it is.
        """
        side, work = self.settings.image_size, self.settings.work
        model = self.average.ema.eval()
        building = work / "model.onnx.tmp"
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, side, side),),
            os.fspath(building),
            input_names=["images"],
            output_names=["output"],
            external_data=False,
            verbose=False,
        )
        about = {
            "classes": self.classes,
            "image_size": side,
            "parameters": sum(p.numel() for p in model.parameters()),
            "steps": self.steps,
            "pictures": self.steps * self.settings.batch_size,
            "minutes": self.seconds / 60.0,
        }
        (work / "model.json").write_text(json.dumps(about, indent=1))
        building.replace(work / "model.onnx")


def resized(pictures: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """labels: (B, M, 5), class and cxcywh pixels."""
    scale = side / pictures.shape[-1]
    if scale == 1.0:
        return pictures, labels
    pictures = torch.nn.functional.interpolate(
        pictures, size=(side, side), mode="bilinear", align_corners=False
    )
    return pictures, torch.cat((labels[..., :1], labels[..., 1:] * scale), dim=-1)


def read_settings() -> Settings:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="JSON that ../yolo_baseline.py writes.")
    path = parser.parse_args().settings
    return Settings(work=path.parent, **json.loads(path.read_text()))


def main() -> None:
    settings = read_settings()
    lock = (settings.work / "lock").open("w")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a killed training lets it go
    except OSError as error:
        raise SystemExit(f"{settings.work}: another training runs here; wait for it") from error
    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(0)
    random.seed(settings.seed)
    np.random.seed(settings.seed)  # noqa: NPY002  YOLOX draws from it
    torch.manual_seed(settings.seed)
    run = Run(settings)
    run.train()
    run.export()


if __name__ == "__main__":
    main()
