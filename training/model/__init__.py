"""The model: SAM 3's image detector in plain PyTorch, every dimension from one config."""
