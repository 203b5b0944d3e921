"""What was noticed about each category -> what the report draws of it."""

from collections.abc import Mapping
from typing import Any

from boxless.discovery.notes import Notes
from boxless.report.html import Choice, Gauge


def choice_charts(notes: Mapping[str, Mapping[str, Any]]) -> list[Choice]:
    """The choices that have signs to be drawn, by category."""
    read = {category: Notes.from_dict(content) for category, content in notes.items()}
    return [
        Choice(
            category,
            one.chosen,
            one.runner_up,
            [Gauge(s.name, s.value, s.limit, s.low, s.high, s.against) for s in one.signs],
        )
        for category, one in read.items()
        if one.signs
    ]
