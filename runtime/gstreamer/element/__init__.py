"""The GStreamer element `sam3edge`.

buffer -> layout -> stream (-> model) -> metadata, drawing, messages -> the same buffer

`transform.py` is what GStreamer calls, on its own threads; it loads in milliseconds. All that is
heavy is imported by `stream.py`, when the element starts.
"""
