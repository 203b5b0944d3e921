"""The pictures of a review: made small when they are asked for, kept within a few megabytes, and never from elsewhere.

A browser asks for the number of an image, never for a path, and gets a JPEG that is made here, never the file itself.
Links that lead out of the folder are not followed, whatever they are called.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import cv2

from boxless.data.images import read_shrunk, read_size
from boxless.data.one_range import folder_of
from boxless.data.sources import Source
from boxless.runtime.errors import BrokenImageError

THUMBNAIL, VIEW = 320, 1600
"""The longer side in pixels, in the gallery and where boxes are drawn."""


def lies_inside(source: Source, name: str) -> bool:
    """Whether a file of the source really lies in it: always in a zip; in a folder unless a link leads elsewhere."""
    folder = folder_of(source)
    return folder is None or (folder / name).resolve().is_relative_to(folder.resolve())


class Pictures:
    """JPEGs of some images by number; safe from many threads."""

    def __init__(self, source: Source, names: Sequence[str], memory: int = 64 << 20) -> None:
        self.source, self.names, self.memory = source, names, memory
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def jpeg(self, index: int, longest: int) -> bytes:
        """An image with a longer side of at most `longest` pixels; raises BrokenImageError when it cannot be read."""
        key = index, longest
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        picture, _ = read_shrunk(self._read(index), self.names[index], longest)
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
        content = encoded.tobytes()
        with self._lock:
            self._bytes += len(content) - len(self._kept.pop(key, b""))
            self._kept[key] = content
            while self._bytes > self.memory:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)
        return content

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of the upright picture; raises BrokenImageError when it cannot be read."""
        return read_size(self._read(index), self.names[index])

    def _read(self, index: int) -> bytes:
        name = self.names[index]
        if not lies_inside(self.source, name):
            raise BrokenImageError(f"{name} is a link that leads out of {self.source.root}.")
        return self.source.read(name)
