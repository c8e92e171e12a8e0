"""StyleGAN with seven dials: fine-tuned generators v1 (conditioned GAN), v2 (property CNN) and v3
(conditional VAE).
"""
