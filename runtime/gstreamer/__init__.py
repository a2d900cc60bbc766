"""GStreamer through the distribution's `gi`: how it is found, and its pictures as arrays.

Nothing outside this folder imports `gi`; it is loaded by `load.load_gst` when somebody asks.
"""
