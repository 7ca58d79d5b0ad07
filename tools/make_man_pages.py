"""Write man/*.1 from the command tree: one page a command, one for the program. Run it after any change of a command or
an option.

    python tools/make_man_pages.py [--check]

With --check nothing is written; the exit code is 1 if a page is stale.
"""

import argparse
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from man_examples import EXAMPLES

from dcvc_cli import __version__
from dcvc_cli.app import EXIT_CODES, app

ROOT = Path(__file__).resolve().parents[1]
MAN_FOLDER = ROOT / "man"
ENVIRONMENT = (
    (
        "DCVC_HOME",
        "Folder of added weights (in weights/ below it). Default: $XDG_DATA_HOME/dcvc, else ~/.local/share/dcvc.",
    ),
    ("DCVC_MAX_PIXELS", "Most pixels of a picture that is coded, decoded or read. Default: 35651584, as of 8192x4352."),
    ("DCVC_MAX_FRAMES", "Most frames of a clip or stream. Default: no limit."),
    ("DCVC_MAX_MEMORY", "Most memory by the estimate of dcvc info: bytes, or 800M, 2G. Default: no limit."),
    (
        "DCVC_CPU_ISA",
        "Best instruction set of compiled code: scalar, sse2, avx2, avx512, amx or neon. Default: the "
        "best of the processor.",
    ),
    (
        "DCVC_CUDA",
        "Exact arithmetic with --device cuda: native, or twin for a slow one that makes the same "
        "pictures. Default: native.",
    ),
    (
        "DCVC_MOTION",
        "Motion compensation: native, or twin for a slow one that makes the same pictures. Default: native.",
    ),
    (
        "DCVC_OUTPUT_FILTER",
        "The output filter: native, or twin for a slow one that makes the same pictures. Default: native.",
    ),
    ("DCVC_FLOOR", "The floor: native, or twin for a slow one that makes the same pictures. Default: native."),
    ("NO_COLOR", "If set, nothing is coloured."),
)


def escaped(text: str) -> str:
    """Returns text as roff takes it literally."""
    lines = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return f"\\&{lines}" if lines.startswith((".", "'")) else lines


def paragraphs(text: str | None) -> list[str]:
    """Makes roff lines of a docstring: empty lines part paragraphs."""
    blocks = [escaped(block) for block in inspect.cleandoc(text or "").split("\n\n") if block.strip()]
    return [line for block in blocks for line in (".PP", block)]


def value_name(option: Any) -> str:
    """Returns what stands after an option: its metavar, its choices, or the kind of its value."""
    if option.metavar:
        return str(option.metavar)
    kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    choices = getattr(getattr(option, "type", None), "choices", None)
    return "|".join(map(str, choices)) if choices else "VALUE"


def is_argument(parameter: Any) -> bool:
    return not any(name.startswith("-") for name in parameter.opts)


def default_text(option: Any) -> str:
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    if shown is None or shown is False or shown is True or callable(shown) or shown in ("", [], ()):
        return ""
    return f" Default: {shown.value if isinstance(shown, Enum) else shown}."


def option_lines(option: Any) -> list[str]:
    flags = ", ".join(f"\\fB{escaped(name)}\\fR" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" \\fI{escaped(value_name(option))}\\fR"
    required = " Required." if option.required else ""
    return [".TP", flags + value, escaped((option.help or "") + required + default_text(option))]


def parameters_of(command: Any) -> tuple[list[Any], list[Any]]:
    """Returns (arguments, options) that help shows."""
    visible = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    return [p for p in visible if is_argument(p)], [p for p in visible if not is_argument(p)]


def first_sentence(command: Any) -> str:
    """Returns the first sentence of a command's help, without its full stop."""
    return inspect.cleandoc(command.help or "").split("\n")[0].split(". ")[0].rstrip(".")


def page(path: tuple[str, ...], command: Any) -> str:
    """Makes the roff source of one page; `path` is the program and the names of commands down to this one."""
    title = "-".join(path)
    arguments, options = parameters_of(command)
    subcommands = subcommands_of(command)
    summary = first_sentence(command)
    usage = [
        f"\\fB{escaped(' '.join(path))}\\fR",
        "[\\fIOPTIONS\\fR]",
        *(f"\\fI{escaped(a.metavar or a.name.upper())}\\fR" for a in arguments),
    ]
    usage += ["\\fICOMMAND\\fR [\\fIARGS\\fR]"] if subcommands else []
    lines = [
        f'.TH "{title.upper()}" 1 "" "dcvc {__version__}" "User commands"',
        ".SH NAME",
        f"{escaped(title)} \\- "
        f"{escaped(summary[:1].lower() + summary[1:] if not summary.startswith('A ') else summary)}",
        ".SH SYNOPSIS",
        " ".join(usage),
        ".SH DESCRIPTION",
        *paragraphs(command.help),
    ]
    if arguments:
        lines.append(".SH ARGUMENTS")
        for argument in arguments:
            lines += [
                ".TP",
                f"\\fI{escaped(argument.metavar or argument.name.upper())}\\fR",
                escaped(argument.help or ""),
            ]
    lines.append(".SH OPTIONS")
    for option in options:
        lines += option_lines(option)
    lines += [".TP", "\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Show this message and exit."]
    if subcommands:
        lines.append(".SH COMMANDS")
        for name, child in sorted(subcommands.items()):
            lines += [".TP", f"\\fB{escaped(title)}\\-{escaped(name)}\\fR(1)", escaped(first_sentence(child) + ".")]
    lines += [".SH EXAMPLES", *example_lines(title)]
    lines.append(".SH EXIT STATUS")
    body = EXIT_CODES.removeprefix("Exit codes: ").rstrip(".")
    for entry in " ".join(body.split()).split("; "):
        code, _, meaning = entry.partition(" ")
        if code == "128":
            code, meaning = "128 + N", entry.removeprefix("128 + N ")
        lines += [".TP", f"\\fB{escaped(code)}\\fR", escaped(meaning)]
    lines.append(".SH ENVIRONMENT")
    for name, meaning in ENVIRONMENT:
        lines += [".TP", f"\\fB{escaped(name)}\\fR", escaped(meaning)]
    if len(path) > 1:
        lines += [".SH SEE ALSO", f"\\fB{escaped('-'.join(path[:-1]))}\\fR(1)"]
    return "\n".join(lines) + "\n"


def example_lines(title: str) -> list[str]:
    """Makes roff lines of a page's examples: what each does, and the line itself."""
    return [
        line for words, command in EXAMPLES[title] for line in (".TP", escaped(words), f"\\fB{escaped(command)}\\fR")
    ]


def subcommands_of(command: Any) -> dict[str, Any]:
    """Returns the commands of a group by name; none of a plain command."""
    if not hasattr(command, "list_commands"):
        return {}
    context = typer.Context(command)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}


def command_tree(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every command below and with this one."""
    yield path, command
    for name, child in subcommands_of(command).items():
        if not child.hidden:
            yield from command_tree((*path, name), child)


def pages() -> dict[str, str]:
    """Makes roff source by file name."""
    return {
        f"{'-'.join(path)}.1": page(path, command)
        for path, command in command_tree(("dcvc",), typer.main.get_command(app))
    }


def stale() -> list[str]:
    """Files of the man folder that differ from what they should be, are missing, or belong to no command."""
    wanted = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in MAN_FOLDER.glob("*.1")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(__doc__ or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    check = parser.parse_args().check
    names = stale()
    for name in names:
        print(f"stale: {name}")
        if check:
            continue
        path, text = MAN_FOLDER / name, pages().get(name)
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and names else 0


if __name__ == "__main__":
    raise SystemExit(main())
