"""Conformance cases of DCVC-TCM."""

from dcvc_cli.families.float_codec.conformance import FileForm, FloatConformance
from dcvc_cli.families.float_codec.entropy_vectors import VectorRules
from dcvc_cli.families.float_codec.model import FloatModel
from dcvc_cli.families.float_codec.tables import stored_table
from dcvc_cli.families.tcm.video import GAUSSIAN_ROWS, LAPLACE_ROWS, Z_MV, Z, laplace_words


class TcmConformance(FloatConformance):
    """Cases of the published video model with its one I-frame model."""

    files = FileForm(p_has_size=False, lengths_of_p=1)
    video_kind = "tcm"
    densities = {"mv_z": Z_MV, "z": Z}  # noqa: RUF012

    def __init__(self, model: FloatModel) -> None:
        self._model = model
        tables = {"laplace": laplace_words(), "gaussian": stored_table("gaussian_64")[0]}
        self.vector_rules = VectorRules(tables, {"laplace": LAPLACE_ROWS, "gaussian": GAUSSIAN_ROWS})

    def model_of(self, image_kind: str) -> FloatModel | None:
        """Returns the published model; None for another I-frame network."""
        return self._model if image_kind == "intra" else None
