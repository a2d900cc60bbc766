"""From a failed verification to the layer: which graph to search, with which inputs."""

from sam3_edge.engines.bundle import Bundle
from sam3_edge.errors import ExportError
from sam3_edge.export.bisection import Bisection
from sam3_edge.export.compare_graphs import Progress
from sam3_edge.export.evidence import Evidence, own_pictures
from sam3_edge.export.verdict import Measured, tolerance_of, verdict
from sam3_edge.export.verify import stored_references

# Where raw outputs have no limit of their own, as at INT8: what one layer may well be off by.
_LOOSE = 0.1


def bisect_failure(
    bundle: Bundle,
    reference: Bundle,
    evidence: Evidence | None,
    measured: Measured,
    *,
    progress: Progress = lambda _: None,
) -> Bisection | None:
    """Search the first graph with an output over its tolerance; None where none is.

    Raises ExportError.
    """
    try:
        from sam3_edge.export.bisect_graph import bisect_graph, graph_inputs
    except ModuleNotFoundError as error:
        raise ExportError(
            f"--bisect needs {error.name}, which is not installed; install with: "
            "pip install 'sam3-edge[export]'"
        ) from error
    failing = _failing_output(bundle, measured)
    if failing is None:
        return None
    graph = failing.partition(".")[0]
    progress(f"looking for the first wrong layer of the {graph} graph")
    shown = evidence or own_pictures(stored_references(bundle))
    return bisect_graph(
        graph,
        reference.graph_path(graph),
        bundle.graph_path(graph),
        graph_inputs(reference, shown, graph),
        tolerance_of(bundle.manifest, failing) or _LOOSE,
    )


def _failing_output(bundle: Bundle, measured: Measured) -> str | None:
    """The first along the data path; where only detections fail, the first that is far off."""
    lenient = _LOOSE if verdict(bundle.manifest, measured)[0] == "failed" else float("inf")
    for name, output in measured.outputs.items():
        limit = tolerance_of(bundle.manifest, name)
        if output.relative_l2 is None or output.relative_l2 > (lenient if limit is None else limit):
            return name
    return None
