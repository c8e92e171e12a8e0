"""The explorer: seven sliders and one face on a local page."""
