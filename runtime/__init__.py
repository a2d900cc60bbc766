"""The data path, one file per stage: a frame goes in, detections come out. No torch."""
