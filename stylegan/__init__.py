"""The original StyleGAN, v1 and v2: networks, checkpoints, sampling and training."""
