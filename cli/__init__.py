"""Find what a sentence means in live video, on a small board."""

import os

__version__ = "0.1.0"

# From 1.29 on ONNX Runtime tells its makers which models it runs, unless it is told not to before it
# is imported. What a camera is asked to find is nobody else's business. (=0 allows it again.)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
