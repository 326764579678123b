"""MNIST: handwritten digits, 60,000 pictures to train and 10,000 to test (LeCun, Cortes, Burges), 28 x 28.

Read from the four published files, packed or not. Ten classes are too few to be cut for results: training has 0 to 4,
validation 5 and 6, test 7, 8 and 9. `innerloop transfer` takes all ten.
"""

from innerloop.core.context import Root
from innerloop.tasks import idx
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import Part

OFFICIAL_TEST = True
_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def mnist(root: Root = None, split: Part = "train") -> Splits:
    """Read MNIST, downloading it when it is not there.

    Args:
        root: The data root, holding the files or a folder `mnist` with them; None: the environment's
            `INNERLOOP_DATA`, else a folder in the user's cache.
        split: The official part: `train` or `test`.

    Raises:
        InputError: The files are neither there nor to be had, or are not MNIST.
    """
    return idx.official(root, "mnist", _URL, _MD5, split)
