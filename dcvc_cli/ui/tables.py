"""Prints plain tables: a head line and rows, with figures set flush right."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from dcvc_cli.ui.console import stderr_console, stdout_console
from dcvc_cli.ui.text import one_line


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    emphasised: frozenset[int] = frozenset(),
    to_stdout: bool = False,
) -> None:
    """Prints a table to standard error, or to standard output where it is the command's result.

    Args:
        columns: heads; the first column is set flush left, all others flush right.
        rows: cells as text, each row as long as `columns`. A cell is shown in one line; square brackets are no markup.
        title: line above the table, None for none.
        emphasised: indices of rows to set in bold.
        to_stdout: print to standard output.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if index == 0 else "right", no_wrap=index == 0)
    for index, row in enumerate(rows):
        table.add_row(*(Text(one_line(cell)) for cell in row), style="bold" if index in emphasised else None)
    (stdout_console() if to_stdout else stderr_console()).print(table)
