"""Bytes of a text file as lines, in the encoding that it is in: said by the caller, by its mark, or by its bytes."""

import codecs
import encodings.aliases
import io
import re
from collections.abc import Iterator
from typing import IO

from innerloop.core.errors import InputError
from innerloop.tasks.notices import Say, warn

_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_TITLES = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32": "UTF-32"}
_TITLES |= {"gb18030": "GB18030", "cp1252": "Windows-1252", "utf-8": "UTF-8", "utf-8-sig": "UTF-8"}
_CODECS = {*encodings.aliases.aliases.values(), "utf_8_sig"} - {
    # Of Python's codecs, these are of bytes, run for the square of a text's length, or read escapes.
    *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
    *("idna", "punycode", "mbcs", "oem", "raw_unicode_escape", "unicode_escape", "utf_7"),
}
_BLOCK = 1 << 16
_EVIDENCE = 1 << 20
"""Bytes of a file in which its encoding is looked for, from the first one that is not ASCII."""
_START = 256
"""Bytes in which zeros give UTF-16 without a mark away."""
_HIGH = re.compile(rb"[\x80-\xff]+")
_HAN = re.compile(rb"[\xa1-\xa9\xb0-\xd7][\xa1-\xfe]")
"""Punctuation and the 3,755 usual characters of Chinese, as GB18030 writes them."""
_WORD = 4
"""Bytes beyond ASCII in a row that Western words do not have."""


def lines(file: IO[bytes], name: str, encoding: str | None = None, say: Say = warn) -> Iterator[str]:
    """Lines of a file with their ends; the encoding is said where it is not UTF-8.

    Args:
        file: Read as it goes; never wholly in memory.
        name: What errors call it.
        encoding: What it is in; None: UTF-8, UTF-16, UTF-32, GB18030 or Windows-1252, as its bytes say.
        say: Where that goes.

    Raises:
        InputError: It is in none of these, there is no such encoding, or the file is compressed.
    """
    codec = None if encoding is None else _codec(encoding)
    # Its lines are those of Python's reader, whatever they were encoded in.
    utf8 = io.BufferedReader(_Transcoded(_decoded(file, name, codec, say)))
    yield from io.TextIOWrapper(utf8, "utf-8", newline="")


class _Transcoded(io.RawIOBase):
    """Blocks of text as a stream of UTF-8."""

    def __init__(self, blocks: Iterator[str]):
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block.encode())
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _decoded(file: IO[bytes], name: str, codec: str | None, say: Say) -> Iterator[str]:
    # Bytes as they come, where there are such: a pipe must not wait for a whole block.
    read = getattr(file, "read1", file.read)
    block = read(_BLOCK)
    if block[:2] == _GZIP:
        raise InputError(f"{name} is compressed (gzip): unpack it first")
    if codec is None:
        codec = _marked(block)
        _tell(name, codec, say)
    decoder, line = None if codec is None else codecs.getincrementaldecoder(codec)(), 1
    while block:
        if decoder is None and not block.isascii():
            # Up to here all of them are the same. A file is looked into further, which a pipe cannot be.
            block += file.read(_EVIDENCE) if file.seekable() else b""
            codec = _likely(block, name)
            _tell(name, codec, say)
            decoder = codecs.getincrementaldecoder(codec)()
        text = block.decode("ascii") if decoder is None else _text(decoder, block, name, codec or "", line)
        line += text.count("\n")
        yield text
        block = read(_BLOCK)
    if decoder is not None:
        yield _text(decoder, b"", name, codec or "", line, final=True)


def _text(decoder: codecs.IncrementalDecoder, block: bytes, name: str, codec: str, line: int, final=False) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        wrong = line + error.object[: error.start].decode(codec, "replace").count("\n")
        raise InputError(
            f"{name} is not {_title(codec)}: byte 0x{error.object[error.start]:02x} in line {wrong}. Save it as UTF-8, "
            "or name its encoding (--encoding)"
        ) from error
    except UnicodeError as error:  # UTF-16 whose mark is gone
        raise InputError(f"{name} cannot be decoded ({error}). Save it as UTF-8") from error


def _codec(encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding).name
    except (LookupError, ValueError):  # ValueError: zeros in the name
        codec = ""
    if codec.replace("-", "_") not in _CODECS:
        raise InputError(
            f"there is no encoding '{encoding[:50]}' of texts: name one that Python has, such as utf-8, utf-16, "
            "gb18030, windows-1252, windows-1251, shift_jis, big5 or euc-kr"
        )
    return "utf-8-sig" if codec == "utf-8" else codec


def _marked(start: bytes) -> str | None:
    codec = next((codec for mark, codec in _MARKS if start.startswith(mark)), None)
    if codec is None and b"\0" in start[:_START]:
        zeros = [start[place:_START:2].count(0) for place in (0, 1)]
        # Of ASCII in UTF-16 every other byte is a zero.
        if max(zeros) > 4 * min(zeros):
            return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return codec


def _likely(block: bytes, name: str) -> str:
    if _reads(block, "utf-8"):
        return "utf-8"
    runs = [(match, len(match.group())) for match in _HIGH.finditer(block)]
    # What stands in a row, and beside letters, tells words of Chinese from accents in words of ASCII.
    long = sum(size for _, size in runs if size >= _WORD)
    short = sum(size for _, size in runs if size < _WORD)
    accents = sum(size for match, size in runs if size < _WORD and _beside_letter(block, match))
    usual = 2 * sum(len(_HAN.findall(match.group())) for match, _ in runs)
    if 2 * usual >= long + short and long >= accents and _reads(block, "gb18030"):
        return "gb18030"
    if long <= short and _reads(block, "cp1252"):
        return "cp1252"
    raise InputError(
        f"{name} is in none of UTF-8, UTF-16, GB18030 and Windows-1252 for certain: save it as UTF-8, or name its "
        "encoding, such as --encoding shift_jis, big5, euc-kr or windows-1251 (encoding= in Python)"
    )


def _reads(block: bytes, codec: str) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(block)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _beside_letter(block: bytes, match: re.Match[bytes]) -> bool:
    around = block[max(0, match.start() - 1) : match.start()] + block[match.end() : match.end() + 1]
    return any(chr(byte).isalpha() for byte in around)


def _tell(name: str, codec: str | None, say: Say) -> None:
    if codec is not None and _title(codec) != "UTF-8":
        how = "" if codec.startswith(("utf-16", "utf-32")) else ", as its bytes are no UTF-8"
        say(f"{name} is read as {_title(codec)}{how}; --encoding names another")


def _title(codec: str) -> str:
    return _TITLES.get(codec, codec)
