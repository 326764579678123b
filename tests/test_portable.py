"""A setting that had no effect would pass every test."""

import os
import platform

import pytest
import torch

from tests.portable import EXACT, SETTINGS, has_effect, shim

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="these kernels are of x86-64"),
]


@pytest.mark.parametrize("name", ["plain", "avx2", "compatible", "oldest"])
def test_variables_change_the_kernels(name):
    if name == "avx2" and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has no AVX2")
    setting = (SETTINGS | EXACT)[name]
    assert has_effect(setting, os.environ | setting.variables)


def test_mkl_takes_the_path_for_amd():
    with shim() as library:
        assert library is not None, "Linux with a C compiler"
        assert has_effect(SETTINGS["amd"], os.environ | {"LD_PRELOAD": str(library)})


def test_every_setting_but_that_of_threads_has_a_proof():
    assert {name for name, setting in SETTINGS.items() if setting.proof == "True"} == {"threads"}
