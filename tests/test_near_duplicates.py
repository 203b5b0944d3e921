import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from boxless.data.folder import read_data
from boxless.data.images import read_resized
from boxless.data.near_duplicates import BYTES, NEAR, fingerprint, near_duplicate_groups
from boxless.data.synthetic import make_scenes


def printed(image: Image.Image, quality: int = 90) -> np.ndarray:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    found = fingerprint(read_resized(file.getvalue(), "x", 64)[0])
    assert found is not None and len(found) == BYTES
    return np.frombuffer(found, np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.bitwise_count(one ^ other).sum())


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    folder = tmp_path_factory.mktemp("scenes") / "data"
    make_scenes(folder, 30, kinds=("beetle", "leaf"), size=128, test=0)
    data = read_data(folder, "train")
    return [Image.open(io.BytesIO(data.source.read(sample.name))).convert("RGB") for sample in data.samples]


def test_copies_are_near_and_other_pictures_far(photographs: list[Image.Image]) -> None:
    prints = [printed(image) for image in photographs]
    for image, own in zip(photographs, prints, strict=True):
        small = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        for copy in (printed(image, 60), printed(small), printed(ImageEnhance.Brightness(image).enhance(1.05))):
            assert apart(own, copy) <= NEAR
        assert apart(own, printed(ImageOps.mirror(image))) > NEAR
    others = [apart(one, other) for place, one in enumerate(prints) for other in prints[:place]]
    assert min(others) > 2 * NEAR


def test_a_flat_picture_has_no_fingerprint() -> None:
    assert fingerprint(np.full((64, 64, 3), 80, np.uint8)) is None


def test_pairs_are_all_pairs_within_seven_bits() -> None:
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (40, BYTES), np.uint8)
    prints = []
    for centre in centres:
        for bits in (0, 0, 3, 7, 8):
            flipped = np.unpackbits(centre)
            flipped[rng.choice(128, bits, replace=False)] ^= 1
            prints.append(np.packbits(flipped))
    table = np.stack(prints)
    # Brute force: everything against everything, joined while something joins.
    near = np.bitwise_count(table[:, None] ^ table).sum(-1) <= NEAR
    for _ in range(8):
        near = near @ near
    wanted = {tuple(np.flatnonzero(row)) for row in near if row.sum() > 1}
    assert {tuple(group) for group in near_duplicate_groups(table)} == wanted
    assert len(wanted) >= 40


def test_many_equal_pictures_and_none_are_no_trouble() -> None:
    assert near_duplicate_groups(np.zeros((0, BYTES), np.uint8)) == []
    assert near_duplicate_groups(np.zeros((1, BYTES), np.uint8)) == []
    assert near_duplicate_groups(np.zeros((20_000, BYTES), np.uint8)) == [list(range(20_000))]
