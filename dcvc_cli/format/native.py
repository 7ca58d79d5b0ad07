"""The compiled extensions, loaded at first use: dcvc starts, and says what is missing, without them."""

import importlib
import os
from types import ModuleType
from typing import Any, TypeVar

from dcvc_cli.errors import EnvironmentFault, StreamError

ISA_VARIABLE = "DCVC_CPU_ISA"
"""The environment variable that names the best instruction set that compiled code may use."""

T = TypeVar("T")


def wants_twin(variable: str) -> bool:
    """Returns whether an environment variable asks for the slow twin of compiled code.

    Args:
        variable: name of the variable; its values are "native", the default, and "twin".

    Raises:
        EnvironmentFault: the variable has another value.
    """
    implementation = os.environ.get(variable) or "native"
    if implementation not in ("native", "twin"):
        raise EnvironmentFault(f"{variable} must be native or twin, found {implementation!r}", f"unset {variable}")
    return implementation == "twin"


def intact(decoded: T | None, message: str) -> T:
    """Returns what a compiled decoder has decoded.

    Raises:
        StreamError: it is None, which means that the bytes are damaged.
    """
    if decoded is None:
        raise StreamError(message)
    return decoded


class NativeModule:
    """Stands for an extension: it has the attributes of the module. The first use of an attribute loads the module.

    A module that uses an extension declares it twice. So mypy checks calls against the stub, and the import of the
    module loads nothing:

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
        """Loads the extension module. It keeps to the instruction set that DCVC_CPU_ISA names, if it has several.

        Raises:
            EnvironmentFault: the extension was not built for this Python, or the machine cannot run that instruction
                set.
        """
        if self._module is None:
            self._module = _load(self._name)
        return self._module


def load_native(name: str) -> ModuleType:
    """Loads the extension module, as NativeModule.load does. For callers that ask whether the extension is there."""
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
