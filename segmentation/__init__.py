"""Face crops, face parsing (FaceXFormer) and the seven property scores read from label maps."""
