"""Fashion-MNIST: articles of clothing in MNIST's format (Xiao, Rasul, Vollgraf, arXiv 1708.07747), MIT.

Read from the four published files, packed or not. Of the ten classes training has the first five, validation two and
test three; `innerloop transfer` takes all ten.
"""

from innerloop.core.context import Root
from innerloop.tasks import idx
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import Part

OFFICIAL_TEST = True
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
_NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def fashion_mnist(root: Root = None, split: Part = "train") -> Splits:
    """Read Fashion-MNIST, downloading it when it is not there.

    Args:
        root: The data root, holding the files or a folder `fashion-mnist` with them; None: the environment's
            `INNERLOOP_DATA`, else a folder in the user's cache.
        split: The official part: `train` or `test`.

    Raises:
        InputError: The files are neither there nor to be had, or are not Fashion-MNIST.
    """
    return idx.official(root, "fashion-mnist", _URL, _MD5, split, _NAMES)
