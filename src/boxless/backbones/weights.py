"""Weights that others have trained: from a file, torch's cache or the web, into a backbone, whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError

State = dict[str, Tensor]


def download(url: str) -> State:
    """The state dict that `url` names, from torch's cache where it lies there already.

    Raises BoxlessError saying which file, where it is looked for and how to put it there.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / Path(url).name
    held = file.is_file()
    try:
        return torch.hub.load_state_dict_from_url(
            url, model_dir=str(folder), progress=False, map_location="cpu", check_hash=True, weights_only=True
        )
    except Exception as error:  # torch.load raises whatever the bytes happen to look like
        if held:
            raise BoxlessError(
                f"The weights {file} are broken ({type(error).__name__}). Remove the file, so that it is downloaded "
                f"again, or put a whole copy of {url} in its place."
            ) from error
        raise BoxlessError(
            f"The weights {file.name} are not in {folder} and could not be downloaded ({error}). Download {url} on "
            f"another machine and copy it to {file} (TORCH_HOME moves that folder), or choose lite0, whose "
            "weights come with pip."
        ) from error


def read_weights(path: str) -> State:
    """The backbone's part of a boxless checkpoint, or a state dict under the names of the network's own library.

    Raises BoxlessError when there is no such file or it holds no weights.
    """
    if not Path(path).is_file():
        raise BoxlessError(f"There is no weights file {path}. Expected imagenet, none, or the path of a file.")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the bytes happen to look like
        raise BoxlessError(f"{path} holds no weights that torch can read ({type(error).__name__}).") from error
    if isinstance(content, dict) and "format" in content:
        prefix, model = "backbone.net.", checkpoint.read(Path(path))["model"]
        return {key.removeprefix(prefix): value for key, value in model.items() if key.startswith(prefix)}
    return content


def fill(backbone: Backbone, state: State, origin: str) -> None:
    """Load `state` into the backbone; parts that were cut off (the classifier) may be left over, none may be missing.

    Raises BoxlessError naming the first parameter that is missing or has another shape.
    """
    own = backbone.net.state_dict()
    # A backbone that was trained without normalisation counters is whole without them.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
    if missing or wrong:
        what = f"lacks {missing[0]}" if missing else f"has another shape for {wrong[0]}"
        raise BoxlessError(
            f"The weights {origin} do not fit the backbone {backbone.name}: the file {what}. Expected a state dict of "
            f"{backbone.name} or a boxless checkpoint that was trained on it."
        )
    backbone.net.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
