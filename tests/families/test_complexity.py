"""The multiply-accumulates in docs/families.md are those of the graphs."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from dcvc_cli.backend.reproducible import Float64, ReproducibleOperations
from dcvc_cli.families.registry import find_model
from dcvc_cli.families.rt import recipe as rt
from dcvc_cli.families.uf import recipe as uf
from tests.support.processes import ROOT

SIDE = 64
"""Of the counted pictures: nothing is padded."""
QP = 0
ROW = re.compile(r"^\| `([a-z-]+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", re.MULTILINE)
DOCUMENTED = {
    name: tuple(map(float, figures))
    for name, *figures in ROW.findall((ROOT / "docs" / "families.md").read_text(encoding="utf-8"))
}


class CountingOperations(ReproducibleOperations):
    """Counts the products of convolutions on samples that are all zero."""

    def __init__(self) -> None:
        super().__init__({})
        self.num_products = 0

    def conv(self, layer: Any, x: Float64) -> Float64:
        assert x.shape[0] == layer.cin
        height, width = ((side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in x.shape[1:])
        self.num_products += layer.cout * layer.cin * layer.kernel**2 * height * width
        return np.zeros((layer.cout, height, width))

    def depthwise(self, layer: Any, x: Float64) -> Float64:
        self.num_products += 9 * x.size
        return x

    def scale(self, vector: Any, x: Float64, qp: Any) -> Float64:
        return x


@dataclass
class CountedSide:
    """One side of a frame's symbols, which are all zero."""

    ops: CountingOperations
    num_planes: int
    num_z_channels: int
    encodes: bool
    latent_size: tuple[int, int] = (SIDE // 16, SIDE // 16)
    steps: list[Any] = field(default_factory=list)

    def hyper_latents(self, analysis: Any, hyper_analysis: Any, *others: Any) -> Float64:
        if self.encodes:
            hyper_analysis(self.ops, analysis(self.ops, np.zeros((self.num_planes, SIDE, SIDE))))
        return np.zeros((self.num_z_channels, SIDE // 64, SIDE // 64))

    def for_analysis(self, context: Float64) -> Float64:
        return context

    def begin(self, step_size_inverse: Any) -> None:
        pass

    def share_scales(self, steps: Any, scales: Any) -> None:
        pass

    def step(self, step: Any, scales: Float64, means: Float64) -> Float64:
        return np.zeros(means.shape)

    def finish(self) -> None:
        pass


def counted(name: str) -> tuple[float, float, float]:
    """Returns kMAC a pixel of one picture: to decode an I frame, to encode a P frame, to decode a P frame. A P frame
    follows another one."""
    model = find_model(name)
    image: Any = model.networks["image"]
    video: Any = model.networks["video"]
    unit = model.max_pictures
    recipe: Any = uf if name.startswith("uf") else rt

    def products(is_p: bool, encodes: bool) -> float:
        ops = CountingOperations()
        side = CountedSide(ops, 3 * unit, (video if is_p else image).num_z_channels, encodes)
        if not is_p:
            recipe.code_i_frame(image, ops, side, QP)
            return ops.num_products / SIDE**2 / 1000
        if recipe is rt:
            width = video.spec.feature
            frame = np.zeros((3, SIDE, SIDE)) if video.predicts_pictures else None
            adapted = video.adapt(ops, frame, np.zeros((width, SIDE // 8, SIDE // 8)))
            coded = rt.code_p_frame(video, ops, side, adapted, QP)
            if frame is not None or not encodes:  # the next frame is predicted from this one's picture
                video.picture_of(ops, coded.feature, coded.y_hat, QP, frame)
        else:
            nothing = np.zeros((video.sizes.feature, SIDE // 8, SIDE // 8))
            contexts = uf.next_contexts(video, ops, uf.Memory(memory=nothing, feature=nothing))
            feature = uf.code_p_unit(video, ops, side, contexts, QP)
            for index in range(0 if encodes else unit):
                if not video.sizes.pair_heads:
                    video.picture(ops, feature, index)
                    continue
                if index % 2 == 0:
                    pair = video.pair(ops, feature, index // 2)
                video.picture_of_pair(ops, pair, index)
        return ops.num_products / SIDE**2 / 1000 / unit

    return products(is_p=False, encodes=False), products(is_p=True, encodes=True), products(is_p=True, encodes=False)


def test_every_model_has_a_row() -> None:
    assert DOCUMENTED.keys() >= {"lite", "rt", "uf-ld", "uf-hts", "uf-htl"}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_figures_are_those_of_the_graphs(name: str) -> None:
    assert counted(name) == pytest.approx(DOCUMENTED[name], abs=0.06)
