"""The original StyleGAN v1: networks, checkpoints, sampling and training."""
