"""The subcommands, and what becomes of their errors.

Nothing here imports torch; a command does when it runs, so help is shown at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from elman import __version__
from elman.cli import bench, classify, demo, explain, export, forecast, generate, train
from elman.cli.common import common
from elman.tasks.errors import SettingError, UserError
from elman.tasks.training.environment import is_first

app = typer.Typer(
    name="elman",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"elman {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def elman(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Its version.")
    ] = False,
) -> None:
    """Train small recurrent models on this machine, and use them."""
    if context.invoked_subcommand is None:
        print(context.get_help())


app.add_typer(train.app, name="train")
app.command("generate")(common(generate.generate, answers=True))
app.command("classify")(common(classify.classify, answers=True))
app.command("forecast")(common(forecast.forecast, answers=True))
app.command("export")(common(export.export))
app.command("explain")(common(explain.explain))
app.command("demo")(common(demo.demo))
app.command("bench")(common(bench.bench, answers=True))


def run(arguments: Sequence[str] | None) -> int:
    """Run the command line: the code to exit with."""
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
