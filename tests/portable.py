"""The suite as other processors would run it: `make test-portable`; what compares to the bit alone: `make test-exact`.

Torch, oneDNN and MKL choose their kernels by the processor, and can be told to choose as if it were another one. Each
setting is proven to have its effect before the tests run under it.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

UNALIGNED = ("-p", "tests.unaligned")
AMD = """
int mkl_serv_intel_cpu_true(void) { return 0; }
int mkl_serv_cpuiszen(void) { return 1; }
"""
"""What MKL asks of itself, answered as on AMD's Zen: it then takes kernels that depend on where numbers begin."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A way to run the tests."""

    about: str
    variables: dict[str, str] = field(default_factory=dict)
    amd: bool = False
    """MKL as on AMD."""
    options: tuple[str, ...] = ()
    """Words for pytest."""
    proof: str = "True"
    """An expression that is true where the setting has its effect."""


_PLAIN = {"ATEN_CPU_CAPABILITY": "default"}
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_COMPATIBLE = {"MKL_CBWR": "COMPATIBLE"}
_THREADS = {"INNERLOOP_TEST_THREADS": "4"}
_CAPABILITY = "torch.backends.cpu.get_cpu_capability()"
_IS_AMD = "mkl.mkl_serv_cpu_detect() == 0"
_IS_COMPATIBLE = "mkl.mkl_serv_cbwr_get(1) == 3"
SETTINGS = {
    "plain": Setting(about="kernels without vectors", variables=_PLAIN, proof=f"{_CAPABILITY} == 'DEFAULT'"),
    "avx2": Setting(about="AVX2", variables=_AVX2, proof=f"{_CAPABILITY} == 'AVX2'"),
    "compatible": Setting(about="MKL for any processor", variables=_COMPATIBLE, proof=_IS_COMPATIBLE),
    "amd": Setting(about="MKL as on AMD, odd addresses", amd=True, options=UNALIGNED, proof=_IS_AMD),
    "threads": Setting(about="4 threads", variables=_THREADS),
    "amd-threads": Setting(
        about="MKL as on AMD, odd addresses, 4 threads", amd=True, variables=_THREADS, options=UNALIGNED, proof=_IS_AMD
    ),
    "avx2-threads": Setting(about="AVX2, 4 threads", variables=_AVX2 | _THREADS, proof=f"{_CAPABILITY} == 'AVX2'"),
}
EXACT = {
    "oldest": Setting(
        about="plain, AVX2 in oneDNN, MKL for any, 4 threads, odd addresses",
        variables=_AVX2 | _PLAIN | _COMPATIBLE | _THREADS,
        options=UNALIGNED,
        proof=f"{_CAPABILITY} == 'DEFAULT' and {_IS_COMPATIBLE}",
    ),
    "amd": SETTINGS["amd"],
}
"""As few as have nearly all of it in them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.portable", description=__doc__)
    parser.add_argument("--exact", action="store_true", help="only what compares to the bit, under few settings")
    parser.add_argument("--only", choices=[*SETTINGS, *EXACT], help="one setting")
    parser.add_argument("words", nargs="*", help="further words for pytest, after --")
    asked = parser.parse_args()
    chosen = EXACT if asked.exact else SETTINGS
    if asked.only:
        chosen = {asked.only: (SETTINGS | EXACT)[asked.only]}
    words = [*(["-m", "exact and not slow"] if asked.exact else []), *asked.words]
    with shim() as library:
        lines = [_row(name, setting, library, words) for name, setting in chosen.items()]
    print("\n" + "\n".join(line for line, _ in lines))
    ran = [passed for _, passed in lines if passed is not None]
    return int(not ran or not all(ran))


def _row(name: str, setting: Setting, library: Path | None, words: list[str]) -> tuple[str, bool | None]:
    """Run the tests under a setting; a line of the table, and whether they passed, None where they cannot run."""
    about = f"{name:14}{setting.about:62}"
    if setting.amd and library is None:
        return f"{about}left out: it takes Linux on x86-64, torch with MKL, and a C compiler", None
    variables = os.environ | setting.variables | ({"LD_PRELOAD": str(library)} if setting.amd else {})
    if not has_effect(setting, variables):
        return f"{about}left out: it has no effect here", None
    print(f"\n== {about}", flush=True)
    start = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-n", "2", "-q", *setting.options, *words]
    # Torch's compiler keeps graphs on disk, and takes one that was compiled for other vectors, which computes nonsense.
    with tempfile.TemporaryDirectory() as cache:
        code = subprocess.run(command, env=variables | {"TORCHINDUCTOR_CACHE_DIR": cache}, check=False).returncode
    took = time.perf_counter() - start
    return f"{about}{'passed' if code == 0 else 'FAILED'} in {took:.0f} s", code == 0


def has_effect(setting: Setting, variables: dict[str, str]) -> bool:
    library = "ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), 'lib', 'libtorch_cpu.so'))"
    lines = ["import ctypes, os, torch"] + ([f"mkl = {library}"] if "mkl." in setting.proof else [])
    code = "\n".join([*lines, f"raise SystemExit(0 if {setting.proof} else 1)"])
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def shim() -> Iterator[Path | None]:
    """A library to be loaded before torch; None where there can be none."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "amd.c", Path(folder) / "amd.so"
        source.write_text(AMD)
        made = subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], capture_output=True, check=False)
        yield library if made.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
