"""The board: power, heat, clocks, roofline."""
