"""The smallest FaceXFormer, for tests."""

from segmentation.facexformer_config import FaceXFormerConfig

TINY = FaceXFormerConfig(
    patch_size=8,
    embed_dim=8,
    depths=(1, 1, 1, 1),
    head_counts=(1, 1, 2, 2),
    decoder_width=16,
    decoder_head_count=2,
    decoder_mlp_width=16,
)
