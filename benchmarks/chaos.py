"""Thirty times `kill -9` of two workers and who started them, in ten minutes of work, and what is left of it.

    python -m benchmarks.chaos
    python -m benchmarks.chaos --minutes 1 --kills 6 --dry

Clients teach, relabel, remove, go back and ask, and keep a diary of what they were told. At the end, what the server
has is compared with it: examples that were acknowledged and are not there, that are there twice or unasked, versions
that hold something else, and answers that a classifier in this process, fitted to the same examples, does not give.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import results
from benchmarks.serve import about, said
from benchmarks.serve_load import mixed
from benchmarks.serve_process import PLAIN, Server, numbers

PLACE = Path(__file__).with_name("chaos.json")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="innerloop-chaos-") as folder:
        server = Server(Path(folder) / "store", PLAIN, "--workers", str(options.workers))
        server.start()
        try:
            outcome = mixed(server, PLAIN, numbers, 60 * options.minutes, 60 * options.minutes / options.kills)
        finally:
            server.kill()
    print(f"{options.workers} workers, {options.minutes:g} minutes: {said(outcome)}")
    if not options.dry:
        results.write(
            {"about": about("benchmarks.chaos"), "found": vars(outcome) | {"refused": outcome.refused[:10]}}, PLACE
        )
    return int(bool(outcome.lost or outcome.doubled or outcome.differing or outcome.wrong))


if __name__ == "__main__":
    sys.exit(main())
