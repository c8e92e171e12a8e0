"""Stage 03: faces in pictures, their classes, and the sheets of them."""
