"""Heat map -> boxes at one threshold or at all of them, and IoU."""

SADDLE = 0.6
"""Two objects are two where the saddle lies at least this part of the way down from the lower peak to the threshold.

Of 0.4, 0.5 and 0.6, at which scenes of several objects and blood smears all gain, 0.6 alone leaves photographs of one
bird their AP (training images of each; ddt and contrast).
"""
OVERLAP, MIN_SIZE, MAX_SIZE = 0.5, 0.2, 100.0
"""Of several boxes in an image: the highest IoU of two, and the smallest and the largest in per cent of the image."""
MOST = 1000
"""Boxes in an image at most, the best ones: a map that has more is noise."""
FINEST = 2048
"""Longer side in places of a map that is joined from tiles, and of the grid that it is read on."""
