"""The commands that show a log: a table, one file, or a server of its own. None needs Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keras_curvature_cli.faults import told
from keras_curvature_cli.progress import doing

Logs = Annotated[
    Path,
    typer.Argument(metavar="LOGS", help="The directory with the logs, of one run or of many."),
]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def runs(
    context: typer.Context,
    logs: Logs,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Print the last verdict and numbers of every run of a log."""
    with told(context.obj):
        from keras_curvature_cli import run_table
        from keras_curvature_cli.printing import as_json

        with doing("Reading the log"):
            rows = run_table.rows_of(logs)
        if json:
            typer.echo(as_json(run_table.data_of(rows)))
        else:
            Console(highlight=False).print(run_table.table_of(rows))


def export(
    context: typer.Context,
    logs: Logs,
    path: Annotated[Path, typer.Argument(metavar="REPORT.html", help="The file to write.")],
    force: Force = False,
) -> None:
    """Write the Curvature tab of a log as one file that opens in any browser."""
    with told(context.obj):
        from keras_curvature_page.one_file import to_html

        with doing("Reading the log"):
            written = to_html(logs, path, force=force)
        typer.echo(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


def view(
    context: typer.Context,
    logs: Logs,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where to serve it; 0 for any that is free."),
    ] = None,
) -> None:
    """Show the Curvature tab of a log in the browser and follow it, until Ctrl+C."""
    with told(context.obj):
        from keras_curvature_page.server import HOST, PORT, server

        with server(logs, PORT if port is None else port) as served:
            address = f"http://{HOST}:{served.server_port}"
            typer.echo(f"Showing {logs} on {address}, to this machine alone. Ctrl+C ends it.")
            try:
                served.serve_forever()
            except KeyboardInterrupt:
                typer.echo()
