"""The ``whence`` command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from whence.app.cli.attend import attend
from whence.app.cli.catalogue import methods, metrics, models
from whence.app.cli.decide import decide
from whence.app.cli.decisions import anchor, counterfactuals, interactions, subsets
from whence.app.cli.demo import demo
from whence.app.cli.distill import distill
from whence.app.cli.exit_codes import CODES
from whence.app.cli.explain import explain
from whence.app.cli.judge import compare, evaluate, select, verify

__all__ = ["app", "main"]

app = typer.Typer(
    name="whence",
    help="Whence did that decision come? Explains what language models decide.",
    epilog=CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(
    epilog="Examples:  whence explain --model embedded:credit 'Missed 4 payments this year.'"
    "\n\n"
    "whence explain --model embedded:credit --method leave-one-out --format json 'No savings.'"
    f"\n\n{CODES}"
)(explain)
app.command(
    epilog="Examples:  whence attend --model embedded:credit 'No savings.'"
    "\n\n"
    "whence attend --model embedded:decider --generate --save kept 'Missed 4 payments.'"
    f"\n\n{CODES}"
)(attend)
app.command(
    epilog="Examples:  whence evaluate kept.json --model embedded:credit"
    "\n\n"
    "whence evaluate kept.json --metric comprehensiveness --metric deletion --format json"
    "\n\n"
    "whence evaluate kept.json --metric attacked-overlap --metric token-f1 --span 7:15"
    f"\n\n{CODES}"
)(evaluate)
app.command(
    epilog="Example:  whence compare --model embedded:credit --method lime --method kernel-shap "
    f"'Missed 4 payments this year.'\n\n{CODES}"
)(compare)
app.command(epilog=f"Example:  whence select texts.jsonl --model embedded:credit\n\n{CODES}")(
    select
)
app.command(epilog=f"Example:  whence verify kept.json --model embedded:credit\n\n{CODES}")(verify)
app.command(
    epilog="Examples:  whence distill texts.csv --model embedded:credit --output kept"
    "\n\n"
    "whence distill texts.csv --model embedded:credit --students rule-list-10,sparse-linear-30 --no-checks "
    "--output kept"
    f"\n\n{CODES}"
)(distill)
app.command(
    epilog="Examples:  whence decide kept --model embedded:credit 'Missed 4 payments.'"
    "\n\n"
    f"whence decide kept --model embedded:credit --input texts.csv\n\n{CODES}"
)(decide)
app.command(
    epilog="Examples:  whence counterfactuals --model embedded:credit 'Missed 4 payments this year.'"
    "\n\n"
    "whence counterfactuals --model embedded:credit --wanted reject --option kinds=number 'Payslips prove "
    f"8 months of work, the minimum being 6.'\n\n{CODES}"
)(counterfactuals)
app.command(
    epilog="Example:  whence subsets --model embedded:credit --kind necessary 'Missed 4 payments.'"
    f"\n\n{CODES}"
)(subsets)
app.command(
    epilog=f"Example:  whence anchor --model embedded:credit 'Missed 4 payments.'\n\n{CODES}"
)(anchor)
app.command(
    epilog=f"Example:  whence interactions --model embedded:credit 'Missed 4 payments.'\n\n{CODES}"
)(interactions)
app.command(epilog="Example:  whence methods")(methods)
app.command(epilog="Example:  whence metrics")(metrics)
app.command(epilog="Example:  whence models")(models)
app.command(epilog="Example:  whence demo --output whence-demo.html")(demo)


def _print_version(asked: bool) -> bool:
    if asked:
        version()
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command(epilog="Example:  whence version")
def version(
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the version."""
    import json

    from whence import __version__

    typer.echo(json.dumps({"whence": __version__}) if json_ else f"whence {__version__}")


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; the entry point of the installed command."""
    return app(args=arguments)


if __name__ == "__main__":
    main()
