"""Random parameters for measuring speed: no layer's output is all zero or saturated."""

import numpy as np

from dcvc_cli.backend.exact_network import ExactNetwork, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.preparing.random_weights import random_weights
from tests.support.exact_frames import FramePair, invent


class WatchingTwin(ExactTwin):
    """Keeps how many outputs of every convolution are zero or at an end of the 16 bits."""

    def __init__(self, network: ExactNetwork) -> None:
        super().__init__(network)
        self.dead: dict[str, list[float]] = {}

    def conv(self, layer, x: ExactValue) -> ExactValue:
        out = super().conv(layer, x)
        ends = (out.data == 0) | (out.data == 32767) | (out.data == -32768)
        self.dead.setdefault(layer.name, []).append(float(np.mean(ends)))
        return out


def test_no_layer_is_dead_or_saturated():
    weights = random_weights("tiny", exact=True)
    image, video = weights.model.networks.values()
    ops = [
        WatchingTwin(ExactNetwork.from_arrays(network.model, network.exact)) for network in weights.networks.values()
    ]
    _, planes = invent(FramePair(image, video, *ops), (4, 5), 6, 32, 0)
    for one in ops:
        shares = {name: max(values) for name, values in one.dead.items()}
        assert len(shares) > 20
        assert max(shares.values()) < 0.1, sorted(shares.items(), key=lambda item: -item[1])[:3]
    for luma, *_ in planes:
        assert 3 < np.std(luma) < 80
        assert np.mean((luma == 0) | (luma == 255)) < 0.05


def test_floats_have_no_integers_and_integers_are_made_once():
    integers = random_weights("tiny", exact=True)
    assert integers.is_exact
    assert not random_weights("tiny", exact=False).is_exact
    assert random_weights("tiny", exact=True) is integers
