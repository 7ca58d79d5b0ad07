"""Hyperprior layers that DCVC and DCVC-TCM share: latent to z, and z to the prior of the latent."""

from dcvc_cli.families.float_codec.layers import Deconv
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, Leaky, conv
from dcvc_cli.graph.blocks import Sequence


def hyper_encoder(name: str, cin: int, n: int, kernel: int) -> Sequence:
    """Makes a latent cin x h x w into z, n x h/4 x w/4.

    Args:
        kernel: side of the two kernels with stride 2.
    """
    return Sequence(
        conv(f"{name}.0", cin, n),
        Leaky(SMALL_SLOPE),
        conv(f"{name}.2", n, n, kernel, 2),
        Leaky(SMALL_SLOPE),
        conv(f"{name}.4", n, n, kernel, 2),
    )


def hyper_decoder(name: str, n: int, inner: tuple[int, int], cout: int, kernel: int) -> Sequence:
    """Makes z, n x h/4 x w/4, into a prior, cout x h x w.

    Args:
        inner: channels behind the first and behind the second layer.
        kernel: side of the kernels of these two layers.
    """
    first, second = inner
    return Sequence(
        Deconv(f"{name}.0", n, first, kernel),
        Leaky(SMALL_SLOPE),
        Deconv(f"{name}.2", first, second, kernel),
        Leaky(SMALL_SLOPE),
        Deconv(f"{name}.4", second, cout, 3, 1),
    )
