"""What a family's conformance form is to `dcvc conformance`. docs/families.md says how to write one.

A folder of cases holds make_params.py, which makes the networks' parameters from a seed, and one folder a case with its
case.json. Everything else in it is the family's own: which settings a case has, which vectors of the entropy coder
stand beside the cases, and what is compared: streams, symbols, estimated bits, pictures.
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
    """What a step or a check found.

    Attributes:
        faults: what differs, one sentence each; without any the check has passed.
        notes: remarks that change nothing.
        summary: what was looked at, in a few words; reports show it for checks beside the cases.
    """

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Check:
    """Something that is looked at: a part of a case ("decode"), or vectors beside the cases ("entropy/sequences")."""

    name: str
    run: Callable[[], Findings]


@dataclass
class CaseRun:
    """What the cases of one run share.

    Attributes:
        generator: make_params.py of the folder, loaded.
        precision: arithmetic of the networks.
        threads: of the backend; None: its own choice.
        kept: what a case leaves for the next one with the same parameters, such as opened networks; emptied as soon as
            a case with others begins.
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
        folder: where its files are; the folder's name is the case's.
        summary: what it holds, such as "64x48, 17 frames".
        parameters: what its parameters are made from, such as (model, seed). Cases that share them run one after
            another.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the case holds, in a few words."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[Any, ...]:
        """What its parameters are made from."""

    @abstractmethod
    def steps(self, run: CaseRun) -> Sequence[Check]:
        """The parts of the case in order. Each is timed by itself; one that raises DcvcError, TableError or OSError
        ends the case as failed."""


class ConformanceForm(ABC):
    """Reads the cases of a family's published codec."""

    @abstractmethod
    def claims(self, description: Mapping[str, Any]) -> bool:
        """Whether a case.json is one of this family's. Forms of two families must not claim the same one: ask for keys
        and names that no other has."""

    @abstractmethod
    def read_case(self, folder: Path, description: Mapping[str, Any]) -> Case:
        """The case that a case.json describes.

        Raises:
            ValueError, KeyError, TypeError: it describes none.
            InputError: settings that there are not.
        """

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Checks of what stands beside the cases; none where there is nothing."""
        return ()
