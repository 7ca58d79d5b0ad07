"""`dcvc doctor`: shows what this machine offers and what dcvc uses of it."""

import json

import typer

from dcvc_cli.commands.options import JsonOption
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.ui.text import one_line

JSON_SCHEMA = 1


def doctor(
    json_output: JsonOption = False,
) -> None:
    """Show machine, packages, devices, kernels and weights: what dcvc uses, and why it does not use something faster.

    The exit code is 5 if coding needs something that is missing.
    """
    from dcvc_cli.measuring.diagnosis import Status, diagnose

    findings = diagnose()
    missing = [finding for finding in findings if finding.status is Status.MISSING]
    if json_output:
        entries = [
            {
                "section": f.section,
                "name": f.name,
                "value": f.value,
                "status": f.status.value.lower(),
                "remark": f.remark,
            }
            for f in findings
        ]
        typer.echo(json.dumps({"schema_version": JSON_SCHEMA, "ok": not missing, "findings": entries}, indent=2))
    else:
        section = None
        for finding in findings:
            if finding.section != section:
                section = finding.section
                typer.echo(section)
            remark = f"  [{finding.status.value}] {finding.remark}" if finding.remark else ""
            typer.echo(one_line(f"  {finding.name:<17} {finding.value}{remark}"))
    if missing:
        raise EnvironmentFault(
            f"missing: {', '.join(f'{finding.name} ({finding.value})' for finding in missing)}",
            missing[0].remark or None,
        )
