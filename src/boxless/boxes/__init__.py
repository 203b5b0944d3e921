"""Heat map -> boxes at one threshold or at all of them, and IoU."""
