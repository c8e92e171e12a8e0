"""From a sketch to a portrait: lines, a U-Net with a patch discriminator, colours, and their training."""
