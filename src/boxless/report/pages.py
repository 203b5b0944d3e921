"""HTML pages with everything in them: escaped templates, and scripts that the browser runs by their hash alone."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(
    template: str, *, styles: Sequence[str], scripts: Sequence[str], content: Mapping[str, Any]
) -> Iterator[str]:
    """The page in pieces: a template of the package with its `content`, and the text of its styles and scripts.

    The template has `script_hash` for its content security policy, so that nothing else in the page can run.
    """
    environment = Environment(
        loader=PackageLoader("boxless", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"min_of": min, "position": lambda values, value: list(values).index(value)}
    style, script = (_sources(environment, names) for names in (styles, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).generate(**content, style=style, script=script, script_hash=digest)


def _sources(environment: Environment, names: Sequence[str]) -> Markup:
    assert environment.loader is not None
    return Markup("\n").join(Markup(environment.loader.get_source(environment, name)[0]) for name in names)
