"""Labelling by hand: the answers on disk, what to ask next, the label table, and the local page."""
