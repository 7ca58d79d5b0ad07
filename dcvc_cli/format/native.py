"""The compiled extensions, loaded at first use: dcvc starts, and says what is missing, without them."""

import importlib
import os
from types import ModuleType
from typing import Any

from dcvc_cli.errors import EnvironmentFault

ISA_VARIABLE = "DCVC_CPU_ISA"
"""The environment variable that names the best instruction set that compiled code may use."""


class NativeModule:
    """Stands for an extension: attributes are those of the module, which the first of them loads.

    Modules that use one declare it twice, so that mypy checks calls against the stub and nothing is loaded at import:

        if TYPE_CHECKING:
            from dcvc_cli import _motion as native
        else:
            native = NativeModule("_motion")
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.load(), name)

    def load(self) -> ModuleType:
        """The module, held to the instruction set of DCVC_CPU_ISA where it has several.

        Raises:
            EnvironmentFault: it was not built for this Python, or the machine cannot run that instruction set.
        """
        if self._module is None:
            self._module = _load(self._name)
        return self._module


def load_native(name: str) -> ModuleType:
    """As NativeModule.load, for who wants to know whether the extension is there."""
    return NativeModule(name).load()


def _load(name: str) -> ModuleType:
    try:
        module = importlib.import_module(f"dcvc_cli.{name}")
    except ImportError as error:
        raise EnvironmentFault(
            f"the compiled module dcvc_cli.{name} is missing: {error}", "reinstall dcvc with a C++ compiler at hand"
        ) from error
    wanted = os.environ.get(ISA_VARIABLE, "")
    if hasattr(module, "choose_isa") and not module.choose_isa(wanted):
        usable = ", ".join(module.usable_isas())
        raise EnvironmentFault(
            f"instruction set {wanted!r} is not usable on this machine, usable are: {usable}", f"unset {ISA_VARIABLE}"
        )
    return module
