"""Find what a sentence means in live video, on a small board."""

__version__ = "0.1.0"
