"""The command `elman`: one file a subcommand.

Nothing here imports torch; a command does when it runs, so help is shown at once.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from elman.cli import bench, classify, demo, explain, export, forecast, generate, train
from elman.tasks.environment import is_first
from elman.tasks.errors import SettingError, UserError

app = typer.Typer(
    name="elman",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def elman(context: typer.Context) -> None:
    """Train small recurrent models on this machine, and use them."""
    if context.invoked_subcommand is None:
        print(context.get_help())


app.add_typer(train.app, name="train")
app.command("generate")(generate.generate)
app.command("classify")(classify.classify)
app.command("forecast")(forecast.forecast)
app.command("export")(export.export)
app.command("explain")(explain.explain)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit: 0 when all went well, 2 after an expected error, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if is_first():
        sys.exit(_run(arguments))
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # of several processes one speaks
        sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    for argument in sys.argv[1:] if arguments is None else arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            return _fail(f"the argument {argument!r} is not UTF-8: type it so, or give the file another name")
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="elman", standalone_mode=False)
        sys.stdout.flush()
    except SettingError as error:
        return _fail(f"--{error.name.replace('_', '-')} must be {error.allowed}, not {error.value}")
    except UserError as error:
        return _fail(str(error))
    except typer.TyperException as error:
        return _fail(error.format_message())
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough; typer ends with 1 too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(": ".join(str(part) for part in (error.filename, error.strerror) if part))
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    if is_first():
        print(f"elman: {' '.join(message.split())}", file=sys.stderr)
    return 2
