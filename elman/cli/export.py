"""elman export: a trained model as an ONNX file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli import options


def export(
    run: Annotated[Path, typer.Argument(help="A run folder of `elman train`.", metavar="RUN")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.", metavar="FILE")],
    overwrite: options.Overwrite = False,
) -> dict[str, Any]:
    """Write a trained model as an ONNX file, for programs without Python or torch.

    A text model streams: its state goes in and comes out. The vocabulary or the scale is in the file's metadata.
    """
    from elman.tasks.export import export_run

    values = export_run(run, output, overwrite=overwrite)
    print(f"{output}: {output.stat().st_size:,} bytes")
    for way, names in values.items():
        for name in names:
            print(f"  {way:>3}  {name}")
    print("next: run it with ONNX Runtime alone, as the scripts in docs/tasks.md do, or look at it in Netron")
    return {"file": str(output), "bytes": output.stat().st_size, **values}
