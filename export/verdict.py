"""From figures to a verdict: each figure beside its tolerance, and one line for a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sam3_edge.engines.manifest import (
    DetectionAgreement,
    Manifest,
    OutputDifference,
    Precision,
    State,
    Verification,
)
from sam3_edge.export.tolerances import (
    CHAIN_ALLOWANCE,
    LEAST_DETECTIONS,
    REFERENCE_SCORE,
    TOLERANCES,
    Tolerances,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a verification saw.

    reference: what was compared with. images: how many; pictures: what they are. outputs: by
    "graph.output", in the order of the data path. without_twin: share of the decoder's queries,
    0..1, see `query_twins`. extra: share of the engine's detections that the reference has not.
    finite: whether all the whole chain gave was. ap, reference_ap: None without annotations.
    """

    reference: str
    images: int
    pictures: str
    outputs: Mapping[str, OutputDifference]
    without_twin: float
    detections: DetectionAgreement
    extra: float
    finite: bool
    ap: float | None = None
    reference_ap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure and its limit. value: None where it was not finite."""

    name: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def passed(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def strain(self) -> float:
        """How much of the tolerance is used: above 1 it fails."""
        if self.value is None:
            return float("inf")
        if self.at_least:
            return (1 - self.value) / max(1 - self.limit, 1e-9)
        return self.value / max(self.limit, 1e-9)

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name} not finite"
        bound = "at least" if self.at_least else "at most"
        return f"{self.name} {self.value:.3g}, {bound} {self.limit:g}"


def findings(manifest: Manifest, measured: Measured) -> list[Finding]:
    """Every figure that has a limit, along the data path. What has too little behind it has none."""
    found = list(_output_findings(manifest, measured))
    if not measured.finite:
        found.append(Finding(name="the whole chain's outputs", value=None, limit=0.0))
    if measured.detections.reference_detections >= LEAST_DETECTIONS:
        found += _detection_findings(measured, TOLERANCES[manifest.precision])
    if measured.ap is not None and measured.reference_ap is not None:
        fallen = measured.reference_ap - measured.ap
        limit = TOLERANCES[manifest.precision].ap
        found.append(Finding(name="fall of box AP", value=fallen, limit=limit))
    return found


def verification(manifest: Manifest, measured: Measured) -> Verification:
    """What goes into the manifest."""
    state, message = verdict(manifest, measured)
    return Verification(
        state=state,
        reference=measured.reference,
        images=measured.images,
        pictures=measured.pictures,
        outputs=dict(measured.outputs),
        detections=measured.detections,
        ap=measured.ap,
        reference_ap=measured.reference_ap,
        message=f"{measured.images} picture{'s' * (measured.images != 1)} ({measured.pictures}): {message}",
    )


def verdict(manifest: Manifest, measured: Measured) -> tuple[State, str]:
    """State, and one line: what fails first by name, or what comes nearest to failing."""
    found = findings(manifest, measured)
    failed = [finding for finding in found if not finding.passed]
    if failed:
        return "failed", _failure_text(failed)
    count, matched = measured.detections.reference_detections, measured.detections.matched
    if count < LEAST_DETECTIONS or matched is None:
        return "not_run", (
            f"nothing to compare: expected at least {LEAST_DETECTIONS} reference detections with "
            f"score {REFERENCE_SCORE:g} or more, got {count}; give pictures of what the model knows"
        )
    nearest = max(found, key=lambda finding: finding.strain)
    return (
        "passed",
        f"{matched:.1%} of {count} detections found again; nearest its limit: {nearest}",
    )


def tolerance_of(manifest: Manifest, output: str) -> float | None:
    """The limit of the relative L2 error of "graph.output"; None where it is only reported."""
    if output.endswith("_mask"):
        return 0.0  # true or false
    limit = TOLERANCES[_arithmetic(manifest, output)].relative_l2
    return None if limit is None else limit * _allowance(output)


def _allowance(output: str) -> float:
    return CHAIN_ALLOWANCE if output.startswith("chain.") else 1.0


def _arithmetic(manifest: Manifest, output: str) -> Precision:
    """That of the graph; of the whole bundle for outputs of the whole chain."""
    spec = manifest.graphs.get(output.partition(".")[0])
    return manifest.precision if spec is None else spec.precision.arithmetic


def _output_findings(manifest: Manifest, measured: Measured) -> Iterator[Finding]:
    for name, difference in measured.outputs.items():
        graph, _, output = name.partition(".")
        share = TOLERANCES[_arithmetic(manifest, name)].without_twin
        if output == "logits" and share is not None:
            # First: where it fails, what is said of the pairs means little.
            title = f"{graph}.boxes share without a twin"
            yield Finding(name=title, value=measured.without_twin, limit=share * _allowance(name))
        limit, error = tolerance_of(manifest, name), difference.relative_l2
        if limit is not None or error is None:
            yield Finding(name=f"{name} relative L2 error", value=error, limit=limit or 0.0)


def _detection_findings(measured: Measured, limits: Tolerances) -> Iterator[Finding]:
    agreed = measured.detections
    yield Finding(
        name="detections matched", value=agreed.matched, limit=limits.matched, at_least=True
    )
    yield Finding(name="extra detections", value=measured.extra, limit=limits.extra)
    if limits.presence is not None or agreed.presence_difference is None:
        yield Finding(
            name="presence difference of sigmoid",
            value=agreed.presence_difference,
            limit=limits.presence or 0.0,
        )
    if agreed.score_difference is not None:
        yield Finding(
            name="scores median difference", value=agreed.score_difference, limit=limits.score
        )
    if agreed.mask_iou is not None:
        yield Finding(
            name="masks median IoU", value=agreed.mask_iou, limit=limits.mask_iou, at_least=True
        )


def _failure_text(failed: list[Finding]) -> str:
    first, worst = failed[0], max(failed, key=lambda finding: finding.strain)
    text = str(first)
    if worst is not first:
        text += f"; worst of {len(failed)} that fail: {worst}"
    return text
