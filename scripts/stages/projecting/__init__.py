"""project_photos: people of photographs found among the latents of a generator."""
