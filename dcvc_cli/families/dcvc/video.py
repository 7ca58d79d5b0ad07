"""The video network of DCVC and the recipe of its frames. Source: DCVC (NeurIPS 2021)."""

import re
from dataclasses import dataclass
from typing import Any

from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.conditional import ConditionalNetwork, ConditionalRecipe
from dcvc_cli.families.float_codec.context import ContextNetwork
from dcvc_cli.families.float_codec.hyper_layers import hyper_decoder, hyper_encoder
from dcvc_cli.families.float_codec.hyperprior import HyperpriorNetwork
from dcvc_cli.families.float_codec.layers import Deconv, Density, Gdn, Ops, Tensor
from dcvc_cli.families.float_codec.motion import FLOW_WIDTHS, MotionEstimation
from dcvc_cli.families.float_codec.sides import Side
from dcvc_cli.families.float_codec.tables import stored_table
from dcvc_cli.families.wide_latents.blocks import SLOPE, Leaky, Residual, conv
from dcvc_cli.families.wide_latents.tables import SMALLEST_SCALE
from dcvc_cli.graph.blocks import Part, Sequence, SubPixelConv
from dcvc_cli.stages import ANALYSIS, CONTEXT, PRIORS, SYNTHESIS, timed

Z_MV, Z = "bitEstimator_z_mv", "bitEstimator_z"
DENSITIES = (Z_MV, Z)
"""The densities of z, in the order of their rows in the stored table."""
LAPLACE = "laplace_64"


@dataclass(frozen=True)
class DcvcSizes:
    """Channels: of the motion latent, the frame latent, both z and the features, and inside the motion prior."""

    motion: int = 128
    latent: int = 96
    feature: int = 64
    motion_prior: int = 96
    flow: tuple[int, ...] = FLOW_WIDTHS


class DcvcVideoNetwork(ConditionalNetwork):
    """Codes a P frame. Its reference is the picture before."""

    encoder_only = ("opticFlow.", "mvEncoder.", "mvpriorEncoder.", "contextualEncoder.", "priorEncoder.")
    without_parameters = re.compile(r"auto_regressive(_mv)?\.mask")
    predictors = (("entropy_parameters_mv.4", True), ("entropy_parameters.4", True))

    def __init__(self, sizes: DcvcSizes) -> None:
        v, m, n = sizes.motion, sizes.latent, sizes.feature
        self.sizes, self.num_z_channels = sizes, 2 * n
        self.optic_flow = MotionEstimation("opticFlow.moduleBasic", sizes.flow)
        self.mv_encoder = _downs("mvEncoder", 2, v, v, 3)
        self.mv_hyper_encoder = hyper_encoder("mvpriorEncoder", v, n, 5)
        self.mv_hyper_decoder = hyper_decoder("mvpriorDecoder", n, (n, sizes.motion_prior), 2 * v, 5)
        self.mv_context = _context_model("auto_regressive_mv", "entropy_parameters_mv", v)
        ups: list[Part] = []
        for k in range(3):
            name = "mvDecoder_part1"
            ups += [Deconv(f"{name}.{2 * k}", v, v), Gdn(f"{name}.{2 * k + 1}", v, inverse=True)]
        self.mv_decoder = Sequence(*ups, Deconv("mvDecoder_part1.6", v, 2))
        refinement: list[Any] = [conv("mvDecoder_part2.0", 5, n)]
        for k in range(1, 6):
            refinement += [Leaky(SLOPE), conv(f"mvDecoder_part2.{2 * k}", n, n)]
        self.refinement = Sequence(*refinement, Leaky(SLOPE), conv("mvDecoder_part2.12", n, 2))
        self.extract = Sequence(conv("feature_extract.0", 3, n), _before("feature_extract.1", n))
        self.refine = Sequence(_before("context_refine.0", n), conv("context_refine.1", n, n))
        self.temporal = _downs("temporalPriorEncoder", n, n, m, 5)
        name = "contextualEncoder"
        self.encoder = Sequence(
            conv(f"{name}.0", n + 3, n, 5, 2),
            Gdn(f"{name}.1", n),
            _after(f"{name}.2", n),
            conv(f"{name}.3", n, n, 5, 2),
            Gdn(f"{name}.4", n),
            _after(f"{name}.5", n),
            conv(f"{name}.6", n, n, 5, 2),
            Gdn(f"{name}.7", n),
            conv(f"{name}.8", n, m, 5, 2),
        )
        self.hyper_encoder = hyper_encoder("priorEncoder", m, n, 5)
        self.hyper_decoder = hyper_decoder("priorDecoder", n, (m, m), m, 5)
        self.context_model = _context_model("auto_regressive", "entropy_parameters", m)
        name = "contextualDecoder_part1"
        self.decoder = Sequence(
            SubPixelConv(f"{name}.0.0", m, n, kernel=3),
            Gdn(f"{name}.1", n, inverse=True),
            SubPixelConv(f"{name}.2.0", n, n, kernel=3),
            Gdn(f"{name}.3", n, inverse=True),
            _after(f"{name}.4", n),
            SubPixelConv(f"{name}.5.0", n, n, kernel=3),
            Gdn(f"{name}.6", n, inverse=True),
            _after(f"{name}.7", n),
            SubPixelConv(f"{name}.8.0", n, n, kernel=3),
        )
        name = "contextualDecoder_part2"
        self.reconstruction = Sequence(
            conv(f"{name}.0", 2 * n, n), _before(f"{name}.1", n), _before(f"{name}.2", n), conv(f"{name}.3", n, 3)
        )
        self.density_z, self.density_z_mv = Density(Z, n), Density(Z_MV, n)

    @timed(CONTEXT)
    def flow(self, ops: Ops, mv_y_hat: Tensor, picture: Tensor) -> Tensor:
        """Returns the refined flow, 2 x Hp x Wp, from the picture before."""
        flow = self.mv_decoder(ops, mv_y_hat)
        return flow + self.refinement(ops, ops.concat(flow, picture))

    @timed(CONTEXT)
    def contexts(self, ops: Ops, flow: Tensor, *kept: Any) -> Tensor:
        """Maps flow, picture before -> context: n x Hp x Wp, features of that picture from where the flow points."""
        (picture,) = kept
        return self.refine(ops, ops.warp(self.extract(ops, picture), flow))

    @timed(ANALYSIS)
    def analysis(self, ops: Ops, values: Tensor, contexts: Tensor) -> Tensor:
        """Maps picture -> y: m x Hp/16 x Wp/16."""
        return self.encoder(ops, ops.concat(values, contexts))

    @timed(PRIORS)
    def prior(self, ops: Ops, z_hat: Tensor, contexts: Tensor) -> Tensor:
        """Maps z and context -> prior of y: 2m x Hp/16 x Wp/16."""
        return ops.concat(self.temporal(ops, contexts), self.hyper_decoder(ops, z_hat))

    @timed(SYNTHESIS)
    def synthesis(self, ops: Ops, y_hat: Tensor, contexts: Tensor) -> tuple[Tensor, ...]:
        """Maps y and context -> picture in 0..1."""
        return (ops.clamp_unit(self.reconstruction(ops, ops.concat(self.decoder(ops, y_hat), contexts))),)


class DcvcRecipe(ConditionalRecipe):
    """The recipe of DCVC's frames. Each latent has a string, in the order of the published files."""

    video: DcvcVideoNetwork

    i_layout = {"y": 0, "z": 1}  # noqa: RUF012
    p_layout = {"mv_y": 0, "mv_z": 1, "y": 2, "z": 3}  # noqa: RUF012

    def __init__(self, image: AnchorNetwork | HyperpriorNetwork, video: DcvcVideoNetwork) -> None:
        super().__init__(image, video)
        self.context_models = {"mv_y": video.mv_context, "y": video.context_model}

    def i_frame(self, networks: CodecNetworks, side: Side, values: Tensor | None, z_size: tuple[int, int]) -> Any:
        """Codes an I frame. Returns (picture,)."""
        return (self.image_of(networks, side, values, z_size),)

    def latent(self, side: Side, name: str, prior: Tensor, values: Tensor | None) -> Tensor:
        """Codes a latent symbol by symbol with its context model. Returns its value in the decoder."""
        return side.coded_by_context(name, stored_table(LAPLACE)[0], self.context_models[name], prior, values)


def _before(name: str, n: int) -> Residual:
    """Makes the block x + conv2(relu(conv1(relu(x))))."""
    return Residual(name, n, slope=0, before=True)


def _after(name: str, n: int) -> Residual:
    """Makes the block x + lrelu(conv.2(lrelu(conv.0(x))))."""
    return Residual(name, n, slope=0.1, after=True, keys=("conv.0", "conv.2"))


def _downs(name: str, cin: int, inner: int, cout: int, kernel: int) -> Sequence:
    """Makes four convolutions with stride 2, GDN between them."""
    layers: list[Part] = []
    for k in range(3):
        layers += [conv(f"{name}.{2 * k}", inner if k else cin, inner, kernel, 2), Gdn(f"{name}.{2 * k + 1}", inner)]
    return Sequence(*layers, conv(f"{name}.6", inner, cout, kernel, 2))


def _context_model(context: str, parameters: str, channels: int) -> ContextNetwork:
    return ContextNetwork(context, parameters, channels, means_first=True, table=LAPLACE, smallest=SMALLEST_SCALE)
