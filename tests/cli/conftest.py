import numpy as np
import pytest
from PIL import Image

from innerloop.cli.main import main

SMALL = ["--data", "digits", "--ways", "3", "--steps", "3", "--width", "4"]


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run folder of a small ProtoNet."""
    out = tmp_path_factory.mktemp("runs") / "p"
    assert main(["train", "protonet", *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def twins(tmp_path_factory):
    """A run folder of a small siamese network."""
    out = tmp_path_factory.mktemp("runs") / "s"
    assert main(["train", "siamese", *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture
def pictures(tmp_path):
    """Two classes of dark strokes on white, one picture of the first and two of the second."""
    for name, count, line in (("bar", 1, np.s_[2:6, :]), ("post", 2, np.s_[:, 2:6])):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(count):
            image = np.full((16, 16), 255, np.uint8)
            image[line] = 10 * i
            Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path / "pictures"


@pytest.fixture
def refused(capsys):
    """Run a command that must end with one message, status 2 and nothing on standard output."""

    def check(*words: object, says: str) -> None:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert not out and "Traceback" not in err
        assert err.startswith("innerloop: ") and len(err.strip().splitlines()) == 1, err
        assert says in err, err

    return check
