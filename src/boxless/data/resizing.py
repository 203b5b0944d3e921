"""The names of the ways in which photographs are resized; no torch, so that settings and help can read them."""

from typing import Literal

Resizing = Literal["squash", "short-side"]
"""squash makes photographs square; short-side keeps their shape and resizes the shorter side."""
