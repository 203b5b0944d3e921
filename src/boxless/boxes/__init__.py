"""Heat map -> boxes at one threshold or at all of them, and IoU."""

OVERLAP, MIN_SIZE, MAX_SIZE = 0.5, 0.2, 100.0
"""Of several boxes in an image: the highest IoU of two, and the smallest and the largest in per cent of the image."""
