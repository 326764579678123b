"""What a JSON body will cost to parse, counted while it is read: pieces, not bytes.

A megabyte of empty lists becomes a hundred megabytes of objects, and the parser keeps every other thread waiting while
it makes them. So brackets, texts and numbers are counted first, in each piece as it arrives, and the body is refused at
the piece that has one too many.
"""

import re

from innerloop.service.http.errors import HTTPError
from innerloop.service.limits import Limits

DEEPEST = 20
"""Lists and objects that may stand in each other."""
_SLACK = 64
_EACH = 8
"""Lists, objects and texts for one example, with names of fields: one that is well formed has 6 at most."""
_OUTSIDE = re.compile(rb'["\[{]')
# Possessive where it repeats: no text makes the search go back, which could take the square of its length.
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Counter:
    """Counts the pieces of one body.

    Args:
        limits: What is refused.
        each: Lists, objects and texts for one example.
    """

    def __init__(self, limits: Limits, each: int = _EACH):
        self._pieces, self._most_pieces = 0, _SLACK + each * limits.batch
        self._numbers, self._most_numbers = 0, limits.numbers
        self._depth = 0
        self._inside = False
        self._escaping = False

    def feed(self, chunk: bytes) -> None:
        """Count what has arrived; it may end anywhere.

        Raises:
            HTTPError: There are too many pieces (413), they are nested too deeply, or it is not UTF-8 (400).
        """
        # JSON in UTF-8 has no byte of zero. In UTF-16, which Python's parser would take, half of a character may look
        # like the end of a text, and everything after it would be counted as text.
        if b"\0" in chunk:
            raise HTTPError(400, "the body must be JSON in UTF-8")
        at, end = 0, len(chunk)
        if self._escaping and end:  # the backslash was the last of the chunk before
            at, self._escaping = 1, False
        while at < end:
            if self._inside:
                match = _INSIDE.match(chunk, at)
                at = at if match is None else match.end()
                if at < end:
                    self._inside, self._escaping = False, chunk[at] == ord("\\")
                    self._inside = self._escaping
                    at += 1
                continue
            match = _OUTSIDE.search(chunk, at)
            stop = end if match is None else match.start()
            # Commas stand for numbers, which have no sign of their own.
            self._numbers += chunk.count(b",", at, stop)
            self._depth -= chunk.count(b"]", at, stop) + chunk.count(b"}", at, stop)
            if self._numbers > self._most_numbers:
                raise HTTPError(413, f"a request has at most {self._most_numbers:,} numbers: send several")
            if match is None:
                return
            self._inside, at = chunk[stop] == ord('"'), stop + 1
            self._depth += not self._inside
            if self._depth > DEEPEST:
                raise HTTPError(400, "the body is nested too deeply: send a flat one")
            self._pieces += 1
            if self._pieces > self._most_pieces:
                raise HTTPError(
                    413, f"the body has more than {self._most_pieces:,} lists, objects and texts: send several requests"
                )
