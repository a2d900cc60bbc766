"""What `sam3-edge bench` measures, and how it says it."""
