"""`python -m dcvc_cli` is `dcvc`."""

from dcvc_cli.app import main

main()
