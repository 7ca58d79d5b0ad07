"""Initial parameters: a working transform codec instead of noise.

With random initialisation, QP 0 and QP 63 differ only after days. A network that starts as an 8x8 DCT with a Haar merge
on top codes pictures at step 0 and learns from there. The existing layers express all of it:

- the last convolution of both residual branches of every block is zero, so every block starts as the identity;
- image model: DCT in the first adaptor, Haar merge of 2x2 cells in the stride-2 layer to y, their inverses in the
  decoder;
- video model: the same transforms around the difference to the context, so it starts as a frame-difference codec;
- direct latents start as a transform of the picture, without any network: the frequencies that the other latents leave;
- the QP enters the image model through its scale vectors. It enters the video model through a constant feature channel,
  which `q_feature` turns into the step size of every latent.
"""

import itertools
import math

import torch

from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import SOURCE_CHANNELS, ImageSpec, VideoSpec
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS
from dcvc_cli.learning.parameters import Parameters, random_parameters

FEATURE_GAIN = 8.0
"""Features = gain * orthonormal DCT coefficients of samples in 0..1."""
COARSEST_STEP, FINEST_STEP = 0.5, 1.0 / 32.0
"""Quantiser steps at QP 0 and QP 63 in units of orthonormal coefficients. The loss weights fit them
(learning.losses)."""
MEAN_LATENT_GAIN = 0.4
DIRECT_CHROMA_PENALTY = 3.0
"""A chroma frequency must be so many times lower than a luma frequency to get a direct latent."""
SPARE_CHANNELS = 16
"""Number of feature channels without a DCT coefficient, so that the networks have room for state of their own."""


def dct_basis(order: int = 8) -> torch.Tensor:
    """Returns the orthonormal DCT-II, (order*order, order*order). Rows are sorted by frequency (u^2 + v^2), columns are
    in raster order."""
    n = torch.arange(order, dtype=torch.float64)
    rows = torch.cos(math.pi * (2 * n[None, :] + 1) * n[:, None] / (2 * order)) * math.sqrt(2 / order)
    rows[0] /= math.sqrt(2)
    full = torch.einsum("ua,vb->uvab", rows, rows).reshape(order * order, order * order)
    return full[torch.tensor(frequency_order(order))]


def frequency_order(order: int = 8) -> list[int]:
    """Returns raster indices u * order + v sorted by u^2 + v^2."""
    return sorted(range(order * order), key=lambda k: ((k // order) ** 2 + (k % order) ** 2, k))


def channel_plan(width: int) -> tuple[int, int]:
    """Returns how many of 64 coefficients of (luma, chroma) a feature of `width` channels keeps. Some channels stay
    spare."""
    usable = max(3, width - SPARE_CHANNELS) if width >= 64 else width
    luma = min(64, round(usable * 0.6))
    return luma, min(64, (usable - luma) // 2)


def _plane_rows(width: int) -> list[tuple[int, int]]:
    """Returns (plane, rank of the coefficient) of each DCT channel of a feature of `width` channels."""
    luma, chroma = channel_plan(width)
    return [(0, k) for k in range(luma)] + [(plane, k) for plane in (1, 2) for k in range(chroma)]


def dct_matrix(width: int) -> torch.Tensor:
    """Returns the matrix (width, 192) that makes features of 8x8 cells of three planes. Spare channels have rows of
    0."""
    basis = dct_basis()
    matrix = torch.zeros(width, SOURCE_CHANNELS, dtype=torch.float64)
    for row, (plane, rank) in enumerate(_plane_rows(width)):
        matrix[row, 64 * plane : 64 * plane + 64] = basis[rank]
    return matrix


HAAR = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float64) / 2
"""Rows: bands LL, LH (horizontal detail), HL (vertical), HH; columns: cells (0,0), (0,1), (1,0), (1,1)."""


def latent_plan(width: int, latent: int) -> list[tuple[int, int]]:
    """Returns (feature channel, Haar band) of each latent: the coefficients of the 16x16 cell with the highest expected
    energy."""
    order = frequency_order()
    candidates = []
    for channel, (plane, rank) in enumerate(_plane_rows(width)):
        u, v = divmod(order[rank], 8)
        for band in range(4):
            frequency = (2 * u + band // 2) ** 2 + (2 * v + band % 2) ** 2
            chroma_penalty = 1.0 if plane == 0 else 6.0
            candidates.append(((1.0 + frequency) * chroma_penalty, channel, band))
    return [(channel, band) for _, channel, band in sorted(candidates)[:latent]]


def network_positions(latent: int, direct: int, num_groups: int) -> list[int]:
    """Returns the latents that go through the networks: the first ones of every channel group of a coding step. The
    others start as direct latents."""
    group, own = latent // num_groups, (latent - direct) // num_groups
    return [first * group + k for first in range(num_groups) for k in range(own)]


def direct_positions(latent: int, direct: int, num_groups: int) -> list[int]:
    """Returns the direct latents in the order of direct_plan: one of each group in turn."""
    own = set(network_positions(latent, direct, num_groups))
    group = latent // num_groups
    rest = [k for k in range(latent) if k not in own]
    return sorted(rest, key=lambda k: (k % group, k // group))


def direct_plan(width: int, num_network: int, direct: int, chroma_penalty: float) -> list[tuple[int, int, int, int]]:
    """Returns (plane, u, v, Haar band) of each direct latent: the frequencies that the `num_network` latents of
    latent_plan leave, the lowest first.

    Luma has 8x8 frequencies u, v of a cell. Chroma comes from 4:2:0 and has 4x4.
    """
    rows, order = _plane_rows(width), frequency_order()
    taken = {
        (rows[channel][0], *divmod(order[rows[channel][1]], 8), band)
        for channel, band in latent_plan(width, num_network)
    }
    candidates = []
    for plane, side in ((0, 8), (1, 4), (2, 4)):
        for u, v, band in itertools.product(range(side), range(side), range(4)):
            if (plane, u, v, band) not in taken:
                frequency = (2 * u + band // 2) ** 2 + (2 * v + band % 2) ** 2
                candidates.append(((1.0 + frequency) * (chroma_penalty if plane else 1.0), plane, u, v, band))
    return [entry[1:] for entry in sorted(candidates)[:direct]]


def direct_matrix(plan: list[tuple[int, int, int, int]]) -> torch.Tensor:
    """Returns the orthonormal analysis (latents, 192, 2, 2) of 2x2 cells of three 8x8 planes. Its transpose is the
    synthesis."""
    fine, coarse = dct_basis(8), dct_basis(4)
    fine_row = {divmod(place, 8): row for row, place in enumerate(frequency_order(8))}
    coarse_row = {divmod(place, 4): row for row, place in enumerate(frequency_order(4))}
    matrix = torch.zeros(len(plan), SOURCE_CHANNELS, 2, 2, dtype=torch.float64)
    for k, (plane, u, v, band) in enumerate(plan):
        if plane == 0:
            cell = fine[fine_row[u, v]]
        else:
            cell = (
                coarse[coarse_row[u, v]].reshape(4, 4).repeat_interleave(2, 0).repeat_interleave(2, 1).reshape(64) / 2
            )
        matrix[k, 64 * plane : 64 * plane + 64] = cell[:, None, None] * HAAR[band].reshape(2, 2)
    return matrix


def _set_direct_path(
    p: Parameters, encoder: str, decoder: str, spec: ImageSpec | VideoSpec, num_groups: int, width: int, gain: float
) -> None:
    """Sets the direct path to a transform of the picture times `gain`, and back. The path of other latents starts at
    0."""
    matrix = direct_matrix(direct_plan(width, spec.latent - spec.direct, spec.direct, DIRECT_CHROMA_PENALTY)).float()
    rows = direct_positions(spec.latent, spec.direct, num_groups)
    p[f"{encoder}.weight"] = torch.zeros_like(p[f"{encoder}.weight"])
    p[f"{encoder}.weight"][rows] = matrix * gain
    back = torch.zeros(SOURCE_CHANNELS * 4, spec.latent)
    back[:, rows] = matrix.permute(1, 2, 3, 0).reshape(SOURCE_CHANNELS * 4, -1) / gain
    p[f"{decoder}.conv.0.weight"] = back[:, :, None, None]


def _merge_matrix(width: int, latent: int, direct: int = 0, num_groups: int = 1) -> torch.Tensor:
    """Returns the Haar analysis (latent, width, 2, 2) of 2x2 cells. Direct latents have rows of 0."""
    matrix = torch.zeros(latent, width, 2, 2, dtype=torch.float64)
    rows = network_positions(latent, direct, num_groups)
    for row, (channel, band) in zip(rows, latent_plan(width, latent - direct), strict=True):
        matrix[row, channel] = HAAR[band].reshape(2, 2)
    return matrix


def _mean_latents(width: int, latent: int, direct: int, num_groups: int) -> list[int]:
    """Returns the latents that hold the mean of a 16x16 cell of a plane. Only these leave -128..127 at fine steps."""
    rows, positions = _plane_rows(width), network_positions(latent, direct, num_groups)
    plan = latent_plan(width, latent - direct)
    return [
        position
        for position, (channel, band) in zip(positions, plan, strict=True)
        if rows[channel][1] == 0 and band == 0
    ]


def _ramp(num_qps: int, first: float, last: float) -> torch.Tensor:
    """Returns a geometric ramp over the QPs, (num_qps, 1, 1, 1)."""
    return torch.exp(torch.linspace(math.log(first), math.log(last), num_qps))[:, None, None, None]


def _set_source_adaptor(parameters: Parameters, name: str, width: int) -> torch.Tensor:
    """Sets an adaptor to the DCT, with the mean grey removed. Returns the matrix (width, 192) without gain."""
    matrix = dct_matrix(width)
    parameters[f"{name}.weight"] = (FEATURE_GAIN * matrix)[:, :, None, None].float()
    parameters[f"{name}.bias"] = (-0.5 * FEATURE_GAIN * matrix.sum(1)).float()
    return matrix


def _damp(parameters: Parameters, name: str, factor: float) -> None:
    parameters[f"{name}.weight"] = parameters[f"{name}.weight"] * factor


def initial_image_parameters(model: ImageModel, seed: int = 0) -> Parameters:
    """Makes the state dict of an image model that works as a DCT codec at every QP."""
    spec = model.spec
    p = random_parameters(model, seed)
    matrix = _set_source_adaptor(p, "enc.enc_1.adaptor", spec.internal)
    p["q_scale_enc"] *= _ramp(spec.num_qps, 1 / (FEATURE_GAIN * COARSEST_STEP), 1 / (FEATURE_GAIN * FINEST_STEP))
    p["q_scale_dec"] /= _ramp(spec.num_qps, 1 / (FEATURE_GAIN * COARSEST_STEP), 1 / (FEATURE_GAIN * FINEST_STEP))
    num_groups = IMAGE_STEPS[0].num_groups
    merge = _merge_matrix(spec.internal, spec.latent, spec.direct, num_groups).float()
    split = merge.clone()
    means = _mean_latents(spec.internal, spec.latent, spec.direct, num_groups)
    merge[means] *= MEAN_LATENT_GAIN
    split[means] /= MEAN_LATENT_GAIN
    to_y = f"enc.enc_2.{spec.encoder_depth}.weight"
    p[to_y] = torch.zeros_like(p[to_y])
    p[to_y][:, :, 1:, 1:] = merge
    # Half, because the up block's shortcut doubles the output of an identity block.
    p["dec.dec_1.0.up.conv.0.weight"] = (
        0.5 * split.permute(1, 2, 3, 0).reshape(4 * spec.internal, spec.latent, 1, 1).contiguous()
    )
    p["dec.dec_2.adaptor.weight"] = (matrix.T / FEATURE_GAIN)[:, :, None, None].float()
    p["dec.dec_2.adaptor.bias"] += 0.5
    if spec.direct:
        _set_direct_path(p, "enc.direct", "dec.direct", spec, num_groups, spec.internal, 1.0)
        p["q_direct_enc"] *= _ramp(spec.num_qps, 1 / COARSEST_STEP, 1 / FINEST_STEP)
        p["q_direct_dec"] /= _ramp(spec.num_qps, 1 / COARSEST_STEP, 1 / FINEST_STEP)
    _damp(p, "hyper_enc.0.adaptor", 0.1)
    fusion, spatial = f"y_prior_fusion.{spec.fusion_depth}", f"y_spatial_prior.{spec.spatial_depth}"
    _damp(p, fusion, 0.05)
    p[f"{fusion}.bias"][:2] = -math.log(2)  # half_to_two(-ln 2) = 1
    p[f"{fusion}.bias"][2 : 2 + spec.latent] = 1.0
    _damp(p, spatial, 0.05)
    p[f"{spatial}.bias"][: spec.latent] = 1.0
    return p


def initial_video_parameters(model: VideoModel, seed: int = 0) -> Parameters:
    """Makes the state dict of a video model that works as a frame-difference codec at every QP. With motion, the
    difference is the model's input."""
    spec = model.spec
    width, latent = spec.feature, spec.latent
    p = random_parameters(model, seed)
    constant = width - 1  # a spare channel that holds 1 in every feature
    eye = torch.eye(width)[:, :, None, None]
    coefficients = eye.clone()
    coefficients[sum(channel_plan(width)[k] * (1, 2)[k] for k in range(2)) :] = 0
    matrix = _set_source_adaptor(p, "feature_adaptor_i.adaptor", width)
    p["feature_adaptor_i.adaptor.bias"][constant] = 1.0
    _set_source_adaptor(p, "encoder.conv1", width)
    motion = model.predicts_pictures  # the model's input is a difference then
    p["feature_adaptor_p.weight"] = torch.zeros_like(eye) if motion else eye.clone()
    if motion:
        p["encoder.conv1.bias"].zero_()
    _identity_concat(p, "encoder.conv2.0", coefficients, torch.zeros_like(eye) if motion else -coefficients)
    num_groups = VIDEO_STEPS[0].num_groups
    merge = _merge_matrix(width, latent, spec.direct, num_groups).float()
    finest = 2.0  # the smallest step size, 0.5, stands for FINEST_STEP
    p["encoder.down.weight"] = torch.zeros_like(p["encoder.down.weight"])
    p["encoder.down.weight"][:, :, 1:, 1:] = merge * (1 / (FEATURE_GAIN * FINEST_STEP * finest))
    up = torch.zeros_like(p["decoder.up.conv.0.weight"])
    up[:, :, spec.up_kernel // 2, spec.up_kernel // 2] = merge.permute(1, 2, 3, 0).reshape(4 * width, latent) * (
        FEATURE_GAIN * FINEST_STEP * finest
    )
    p["decoder.up.conv.0.weight"] = up
    if spec.direct:
        _set_direct_path(p, "encoder.direct", "decoder.direct", spec, num_groups, width, 1 / (FINEST_STEP * finest))
    _identity_concat(p, "decoder.conv1.0", coefficients, torch.zeros_like(eye) if motion else eye)
    p["decoder.conv2.weight"] = eye.clone()
    if spec.recon == width:
        p["recon_generation_net.head.weight"] = (matrix.T / FEATURE_GAIN)[:, :, None, None].float()
    if not motion:
        p["recon_generation_net.head.bias"] += 0.5
    _damp(p, "hyper_encoder.conv.0.adaptor" if spec.hyper != latent else "hyper_encoder.conv.0.dc.0", 0.1)
    _initial_video_prior(p, model, constant)
    return p


def _identity_concat(parameters: Parameters, name: str, first: torch.Tensor, second: torch.Tensor) -> None:
    parameters[f"{name}.adaptor.weight"] = torch.cat([first, second], dim=1)


def _initial_video_prior(p: Parameters, model: VideoModel, constant: int) -> None:
    """Routes the constant channel times q_feature[qp] to the step size of every latent."""
    spec = model.spec
    last_row = spec.num_qps - 1
    coarsest = COARSEST_STEP / FINEST_STEP * 0.5
    p["q_feature"][:, constant] = _ramp(
        spec.num_qps, coarsest, coarsest * (0.5 / coarsest) ** (last_row / MAX_BASE_QP)
    )[:, 0]
    _damp(p, "temporal_prior_encoder.down", 0.2)
    down = p["temporal_prior_encoder.down.weight"]
    down[constant] = 0
    down[constant, constant] = 0.125  # the mean of 2x2 cells, halved because the block's shortcut doubles it
    _damp(p, "y_prior_fusion.conv.0.adaptor", 0.3)
    adaptor = p["y_prior_fusion.conv.0.adaptor.weight"]
    slot = spec.prior - 1
    adaptor[slot] = 0
    adaptor[slot, model.hyper_out + constant] = 1.0
    fusion, spatial = f"y_prior_fusion.conv.{spec.fusion_depth}", f"y_spatial_prior.conv.{spec.spatial_depth}"
    _damp(p, fusion, 0.05)
    p[f"{fusion}.weight"][: spec.latent] *= 0.2
    p[f"{fusion}.weight"][: spec.latent, slot] = 1.0
    p[f"{fusion}.bias"][spec.latent : 2 * spec.latent] = 0.5
    _damp(p, spatial, 0.05)
    p[f"{spatial}.bias"][: spec.latent] = 0.5
