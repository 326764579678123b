import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.nn.relation import ConvMaps, Relation


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (84, 3), (64, 3)])
def test_shapes(size, channels):
    encoder, relation = ConvMaps(channels=channels, size=size, width=8), Relation(channels=8, size=size // 4)
    maps = encoder.apply(encoder.init(0), torch.zeros(2, channels, size, size))
    assert maps.shape == (2, 8, size // 4, size // 4)
    assert relation.apply(relation.init(0), torch.cat([maps, maps], 1)).shape == (2, 1)


def test_pictures_that_pool_away_are_refused():
    with pytest.raises(InputError, match="at least 16"):
        ConvMaps(size=8).init(0)
