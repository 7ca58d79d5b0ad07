"""Tables of z: the same on every machine, and close to those of the published codec."""

import hashlib
import math

import numpy as np
import pytest

from dcvc_cli.entropy import factorised
from dcvc_cli.entropy.factorised import factorised_table
from dcvc_cli.entropy.tables import TableError

ROWS = 24


def parameters() -> dict[str, np.ndarray]:
    random = np.random.RandomState(5)
    names = [f"bit_estimator_z.f{k}.{kind}" for k in (1, 2, 3, 4) for kind in "hba" if (k, kind) != (4, "a")]
    return {name: random.normal(0, 0.8, (3, ROWS // 3, 1, 1)).astype(np.float32) for name in names}


@pytest.mark.parametrize(
    ("function", "norm", "points"),
    [
        (factorised.exponential, math.exp, np.linspace(-40, 40, 1001)),
        (factorised.log_one_plus, math.log1p, np.linspace(0, 1, 1001)),
        (factorised.softplus, lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))), np.linspace(-30, 30, 1001)),
        (factorised.sigmoid, lambda x: 1 / (1 + math.exp(-x)), np.linspace(-30, 30, 1001)),
        (
            factorised.hyperbolic_tangent,
            math.tanh,
            np.concatenate([np.linspace(0.01, 20, 1001), -np.linspace(0.01, 20, 1001)]),
        ),
    ],
)
def test_elementary_functions_are_accurate(function, norm, points):
    expected = np.array([norm(float(x)) for x in points])
    assert np.abs(function(points) - expected).max() <= 1e-13 * np.abs(expected).max()
    assert np.allclose(function(points), expected, rtol=1e-13, atol=0)


def test_elementary_functions_at_the_ends():
    far = np.array([-1e300, -1e4, 0.0, 1e4, 1e300])
    assert factorised.sigmoid(far).tolist() == [pytest.approx(0, abs=1e-300), pytest.approx(0, abs=1e-300), 0.5, 1, 1]
    assert factorised.hyperbolic_tangent(far).tolist() == [-1, -1, 0, 1, 1]
    assert factorised.softplus(far)[1:].tolist() == [
        pytest.approx(0, abs=1e-300),
        pytest.approx(math.log(2)),
        1e4,
        1e300,
    ]


def test_a_table_is_these_integers_on_every_machine():
    table = factorised_table(parameters())
    assert table.num_rows == ROWS
    digest = hashlib.sha256(
        table.cdf.astype("<i4").tobytes()
        + table.cdf_length.astype("<i4").tobytes()
        + table.offset.astype("<i4").tobytes()
    )
    assert digest.hexdigest()[:16] == "e2293f4cb01bc113"


def test_a_table_is_close_to_the_published_codecs():
    pytest.importorskip("torch")
    ours, theirs = factorised_table(parameters()), factorised.published_factorised_table(parameters())
    alike = (ours.cdf_length == theirs.cdf_length) & (ours.offset == theirs.offset)
    assert alike.sum() >= ROWS - 1
    assert np.abs(ours.cdf - theirs.cdf)[alike].max() <= 2


def test_a_missing_parameter_is_named():
    with pytest.raises(TableError, match=r"bit_estimator_z\.f1\.h"):
        factorised_table({})


def test_parameters_of_different_sizes_are_refused():
    wrong = parameters() | {"bit_estimator_z.f2.b": np.zeros((2, 2, 1, 1), np.float32)}
    with pytest.raises(TableError, match="differ in size"):
        factorised_table(wrong)
