"""From calibration images to graphs with quantisation in them."""
