"""Zips, tar shards and heat maps that are broken or hostile."""

import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np
from cases import Case
from malformed_images import encoded, picture

GOOD = encoded(picture(np.random.default_rng(3)), "PNG")


def malformed_archives(seed: int) -> Iterator[Case]:
    """Zips in the place of a folder, and maps in every format that `boxless score` reads."""
    yield from zip_cases(seed)
    yield from tar_cases(seed)
    yield from map_cases(seed)


def zipped(members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def zip_cases(seed: int) -> Iterator[Case]:
    two = [("a/1.png", GOOD), ("a/2.png", GOOD)]
    whole = zipped(two, zipfile.ZIP_STORED)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        content = zipped(two, method)
        rng = np.random.default_rng((seed, method))
        for number in range(8):
            broken = bytearray(content)
            for place in rng.integers(0, len(content), 1 + number * 3):
                broken[place] ^= 1 << int(rng.integers(8))
            yield Case(f"zip method {method}, bits flipped, {number}", "z.zip", {"z.zip": bytes(broken)}, "z.zip")
        body = bytearray(content)
        body[60:160] = bytes(100)
        yield Case(f"zip method {method}, zeros inside", "z.zip", {"z.zip": bytes(body)}, "z.zip")
    for what, content in cuts(whole):
        yield Case(f"zip, {what}", "z.zip", {"z.zip": content}, "z.zip", refuse=True)
    for name in (
        "../../up.png",
        "/etc/up.png",
        "a/../../up.png",
        "C:\\up.png",
        "..\\up.png",
        "a\0b.png",
        "a" * 3000 + ".png",
    ):
        data = zipped([("good.png", GOOD), (name, GOOD)])
        yield Case(f"zip, a member called {name[:20]!r}", "z.zip", {"z.zip": data}, "z.zip")
    with warnings.catch_warnings(action="ignore"):  # Python warns of a name that is there already
        yield Case("zip, a name twice", "1.png", {"z.zip": zipped([("1.png", GOOD), ("1.png", b"no image")])}, "z.zip")
    encrypted = bytearray(whole)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        encrypted[whole.index(mark) + offset] |= 1
    yield Case("zip, encrypted", "1.png", {"z.zip": bytes(encrypted)}, "z.zip", refuse=True)
    method = bytearray(whole)
    for mark, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        method[whole.index(mark) + offset] = 97
    yield Case("zip, an unknown method", "1.png", {"z.zip": bytes(method)}, "z.zip", refuse=True)
    sizes = bytearray(whole)
    struct.pack_into("<I", sizes, whole.index(b"PK\1\2") + 24, 2**32 - 2)
    yield Case("zip, a member that claims 4 GB", "1.png", {"z.zip": bytes(sizes)}, "z.zip", refuse=True)
    yield Case("zip, of zips", "z.zip", {"z.zip": zipped([("y.zip", whole)])}, "z.zip", refuse=True)
    yield Case("zip, no image", "z.zip", {"z.zip": zipped([("a.txt", b"a")])}, "z.zip", refuse=True)
    yield Case("zip, empty", "z.zip", {"z.zip": zipped([])}, "z.zip", refuse=True)
    yield Case(
        "zip, a bomb of 3 GB", "bomb.png", {"z.zip": lambda: zip_bomb(3 * 2**30)}, "z.zip", refuse=True, heavy=True
    )
    yield Case(
        "zip, boxes.csv is a bomb", "boxes.csv", {"z.zip": lambda: zip_bomb(2**30, "boxes.csv")}, "z.zip", refuse=True,
        heavy=True,
    )  # fmt: skip


def cuts(whole: bytes) -> Iterator[tuple[str, bytes]]:
    for share in (0.0, 0.2, 0.6, 0.95):
        yield f"cut at {share}", whole[: int(len(whole) * share)]
    yield "zeros", bytes(2000)
    yield "text", b"no zip\n" * 50


def zip_bomb(length: int, name: str = "bomb.png") -> bytes:
    """A good picture, and a member of `length` zeros: a thousandth of that as a file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", GOOD)
        with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
            for _ in range(length // 2**24):
                member.write(bytes(2**24))
    return file.getvalue()


def tarred(members: Iterable[tuple[str, bytes]], **fields: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def tar_cases(seed: int) -> Iterator[Case]:
    """Shards in webdataset's layout: a picture, its class and its boxes under one key."""
    boxes = b'{"width": 96, "height": 64, "boxes": [[10, 10, 50, 50]]}'
    members = [("1.png", GOOD), ("1.cls", b"0"), ("2.png", GOOD), ("2.cls", b"1"), ("2.json", boxes)]
    whole = tarred(members)
    variants = {f"cut at {share}": whole[: int(len(whole) * share)] for share in (0.0, 0.01, 0.3, 0.7, 0.95)}
    for number in range(16):
        rng = np.random.default_rng((seed, 7, number))
        broken = bytearray(whole)
        heads = [whole.index(name.encode()) for name, _ in members]
        for place in rng.integers(0, 500, 1 + number):
            broken[int(rng.choice(heads)) + int(place)] ^= 1 << int(rng.integers(8))
        variants[f"bits of headers flipped, {number}"] = bytes(broken)
    for name in ("../up.png", "/etc/up.png", "a/../../up.png", "a" * 3000 + ".png", "a\\up.png"):
        variants[f"a member called {name[:20]!r}"] = tarred([*members, (name, GOOD)])
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE):
        link = tarred([("3.png", b"")], type=kind, linkname="/etc/passwd")
        variants[f"a member of type {kind!r}"] = whole[:-10240] + link
    variants["a member that claims 8 GB"] = whole.replace(b"%011o" % len(GOOD), b"77777777777")
    variants["a name twice"] = tarred([*members, ("1.png", GOOD)])
    variants["zeros"] = bytes(20480)
    variants["text"] = b"no tar\n" * 500
    words = {"a word": b"left", "5000 digits": 5000 * b"9", "a billion": b"1000000000", "nothing": b"", "NUL": b"\0"}
    for what, text in words.items():
        variants[f"the class is {what}"] = tarred([*members[:3], ("2.cls", text)])
        variants[f"the boxes are {what}"] = tarred([*members[:4], ("2.json", text)])
    variants["json nested 100000 deep"] = tarred([*members[:4], ("2.json", 100_000 * b"[")])
    for what, side in {"nan": b"NaN", "5000 digits": 5000 * b"9", "null": b"null", "-1": b"-1"}.items():
        variants[f"a side is {what}"] = tarred([*members[:4], ("2.json", boxes.replace(b"50]", side + b"]"))])
    for what, content in variants.items():
        inside = what.startswith(("the ", "a side", "json", "zeros"))  # then the set of shards and the key are named
        culprit = "3.png" if "type b'S'" in what else "the shards of" if inside else "x-000000.tar"
        yield Case(f"tar, {what}", culprit, {"x-000000.tar": content})


def map_cases(seed: int) -> Iterator[Case]:
    heat = np.random.default_rng(4).random((8, 8)).astype(np.float32)
    npy = io.BytesIO()
    np.save(npy, heat)
    npz = io.BytesIO()
    np.savez(npz, **{"1": heat})
    header = npy.getvalue()
    shapes = {"huge": b"(999999999, 999999999, )", "zero": b"(0, 0, )", "negative": b"(-8, -8, )", "1-d": b"(64, )"}
    variants = {name: header.replace(b"(8, 8), }", shape + b"}") for name, shape in shapes.items()}
    variants["100 GB"] = header.replace(b"(8, 8), }", b"(99999, 262144)}")
    variants["objects"] = header.replace(b"<f4", b"|O8")
    variants["a type that is none"] = header.replace(b"<f4", b"<q9")
    variants["a header that is code"] = header.replace(b"(8, 8)", b"exit(1)")
    variants["nan"] = saved(np.full((8, 8), np.nan))
    variants["complex"] = saved(np.full((8, 8), 1j))
    variants |= {f"cut at {n}": header[:n] for n in (0, 3, 10, 90, len(header) - 5)}
    for what, content in variants.items():
        yield Case(f"map npy, {what}", "1.npy", {"maps/1.npy": content}, "maps", "maps")
    for number in range(12):
        rng = np.random.default_rng((seed, number))
        broken = bytearray(npz.getvalue() if number % 2 else header)
        for place in rng.integers(0, len(broken), 1 + number // 2):
            broken[place] ^= 1 << int(rng.integers(8))
        file = "maps.npz" if number % 2 else "maps/1.npy"
        data = "maps.npz" if number % 2 else "maps"
        yield Case(
            f"map {file}, bits flipped, {number}", data if number % 2 else "1.npy", {file: bytes(broken)}, data, "maps"
        )
    png = encoded(picture(np.random.default_rng(5)).convert("L"), "PNG")
    for what, content in {"cut": png[:60], "empty": b"", "text": b"hello", "colour": GOOD}.items():
        yield Case(f"map png, {what}", "1.png", {"maps/1.png": content}, "maps", "maps", refuse=True)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
