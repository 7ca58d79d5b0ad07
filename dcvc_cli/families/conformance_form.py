"""The interface between a family's conformance cases and `dcvc conformance`. docs/families.md says how to write a form.

A folder of cases holds make_params.py, which makes the networks' parameters from a seed. Each case is a folder in it
with a case.json. The family decides the rest: the settings of a case, the vectors of the entropy coder beside the
cases, and what is compared (streams, symbols, estimated bits, pictures).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from dcvc_cli.bitstream.sps import Precision


@dataclass(frozen=True)
class Findings:
    """The result of a check.

    Attributes:
        faults: one sentence for each difference. Without faults the check has passed.
        notes: remarks that do not change the result.
        summary: what was compared, in a few words. Reports show it for checks beside the cases.
    """

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Check:
    """One comparison: a part of a case ("decode"), or vectors beside the cases ("entropy/sequences")."""

    name: str
    run: Callable[[], Findings]


@dataclass
class CaseRun:
    """Settings and state that the cases of one run share.

    Attributes:
        generator: the folder's make_params.py, loaded.
        precision: precision of the networks.
        threads: number of threads of the backend; None leaves the number to the backend.
        kept: what a case keeps for the next case with the same parameters, such as opened networks. A case with other
            parameters empties it.
    """

    generator: ModuleType
    precision: Precision
    threads: int | None
    kept: dict[str, Any] = field(default_factory=dict)
    _parameters: tuple[Any, ...] = ()

    def begin(self, parameters: tuple[Any, ...]) -> None:
        """Empties `kept` where the next case has other parameters than the last one."""
        if parameters != self._parameters:
            self.kept.clear()
            self._parameters = parameters


class Case(ABC):
    """A conformance case, as its case.json describes it.

    Attributes:
        folder: the folder of its files. Its name is the case's name.
        summary: the content in a few words, such as "64x48, 17 frames".
        parameters: what its parameters are made from, such as (model, seed). Cases with the same ones run one after
            another.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Returns the name of the folder."""
        return self.folder.name

    @property
    @abstractmethod
    def summary(self) -> str:
        """Returns the content of the case, in a few words."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[Any, ...]:
        """Returns what the parameters are made from, such as (model, seed)."""

    @abstractmethod
    def steps(self, run: CaseRun) -> Sequence[Check]:
        """Returns the parts of the case in order. Each part is timed by itself. A part that raises DcvcError,
        TableError or OSError ends the case as failed."""


class ConformanceForm(ABC):
    """Reads the cases of a family's published codec."""

    @abstractmethod
    def claims(self, description: Mapping[str, Any]) -> bool:
        """Returns whether a case.json is one of this family's. No two families may claim the same one, so a form looks
        for keys and names that no other family has."""

    @abstractmethod
    def read_case(self, folder: Path, description: Mapping[str, Any]) -> Case:
        """Makes the case that a case.json describes.

        Raises:
            ValueError, KeyError, TypeError: the file describes no case.
            InputError: the case has settings that do not exist.
        """

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of vectors beside the cases."""
        return ()
