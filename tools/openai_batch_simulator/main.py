"""The command `openai-batch-simulator`.

Rule: an option that cannot be honoured is refused before anything is served. What is secret comes by the environment: a
command is read by every user of the machine.
"""

import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from openai_batch_simulator.account.behaviour import Behaviour
from openai_batch_simulator.account.dialects import DIALECTS
from openai_batch_simulator.answers.remote import RemoteResponder
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.clock import WallClock
from openai_batch_simulator.faults.switches import Faults, UnknownSwitchError
from openai_batch_simulator.http.server import TOKEN_HEADER, SimulatorServer
from openai_batch_simulator.profiles import PROFILES

KEYS_VARIABLE = "OPENAI_BATCH_SIMULATOR_KEYS"  # as --key, with spaces between
TOKEN_VARIABLE = "OPENAI_BATCH_SIMULATOR_CONTROL_TOKEN"  # noqa: S105  # its name
_SECONDS = click.FloatRange(min=0.0)


@click.command(context_settings={"show_default": True})
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1; 0 picks a free one.")
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="calm", help="Behaviour and faults to start with."
)
@click.option("--dialect", type=click.Choice(list(DIALECTS)), default="openai", help="Which kind of server it is.")
@click.option("--seed", type=int, default=0, help="Decides every order, identifier and drawn fault.")
@click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Gets the URL once it is served.")
@click.option("--validate-seconds", type=_SECONDS, help="How long a batch is validating. [default: the profile's]")
@click.option("--run-seconds", type=_SECONDS, help="How long a batch is in progress. [default: the profile's]")
@click.option("--finalize-seconds", type=_SECONDS, help="How long a batch is finalizing. [default: the profile's]")
@click.option("--cancel-seconds", type=_SECONDS, help="How long a batch is cancelling. [default: the profile's]")
@click.option("--window-seconds", type=click.IntRange(min=1), help="When a batch expires. [default: 86400]")
@click.option(
    "--requests-per-second", type=click.FloatRange(min=0, min_open=True), help="Makes a run at least so long."
)
@click.option("--enqueued-tokens", multiple=True, metavar="[MODEL=]N", help="Tokens that may be enqueued, per model.")
@click.option("--creates-per-hour", type=click.IntRange(min=0), help="Batches per hour. [default: the profile's]")
@click.option("--key", "keys", multiple=True, metavar="KEY=PROJECT", help="A known key. None: every key is known.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="A model that exists. None: every one does.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[,OPTION=VALUE...]", help="Options as in the README.")
@click.option("--responder-url", metavar="URL", help="An OpenAI-compatible server that answers, ending in /v1.")
@click.option("--responder-key", envvar="OPENAI_BATCH_SIMULATOR_RESPONDER_KEY", default="none", help="Its key.")
def main(
    *,
    port: int,
    profile: str,
    dialect: str,
    seed: int,
    ready_file: Path | None,
    enqueued_tokens: tuple[str, ...],
    keys: tuple[str, ...],
    models: tuple[str, ...],
    faults: tuple[str, ...],
    responder_url: str | None,
    responder_key: str,
    **given: float | None,
) -> None:
    """Simulate OpenAI's Files and Batches API on loopback, until SIGTERM or SIGINT. Every answer is simulated."""
    base = PROFILES[profile].behaviour
    behaviour = replace(
        base,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]  # click checked each
        **_read_queues(base, enqueued_tokens),  # type: ignore[arg-type]  # a mapping and a number, named as the fields
        projects=dict(_pair(text, "--key") for text in (*keys, *os.environ.get(KEYS_VARIABLE, "").split())),
        models=frozenset(models),
        dialect=DIALECTS[dialect],
    )
    simulator = Simulator(
        WallClock(), seed=seed, behaviour=behaviour, responder=_responder(responder_url, responder_key)
    )
    PROFILES[profile].switch_on(simulator.faults)
    for text in faults:
        _switch_on(simulator.faults, text)
    _serve(simulator, port, ready_file, answers=f"answers by {responder_url}" if responder_url else "simulated answers")


def _serve(simulator: Simulator, port: int, ready_file: Path | None, *, answers: str) -> None:
    given_token = os.environ.get(TOKEN_VARIABLE, "")
    try:
        server = SimulatorServer(simulator, port, control_token=given_token)
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be served: {error}") from error
    told = []

    def end(number: int, _frame: object) -> None:
        told.append(number)
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with server:
        if ready_file is not None:
            _announce(ready_file, server.url)
        click.echo(f"openai-batch-simulator listening on {server.url} ({answers})")
        if not given_token:
            click.echo(f"Control calls need the header {TOKEN_HEADER}: {server.control_token}")
        server.wait()
    if not told:
        raise click.ClickException(server.failure or "the simulator failed; the reason is above")


def _announce(ready_file: Path, url: str) -> None:
    """Let *ready_file* appear complete or not at all."""
    unfinished = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
    unfinished.write_text(f"{url}\n", encoding="utf-8")
    unfinished.replace(ready_file)


def _responder(url: str | None, key: str) -> RemoteResponder | None:
    try:
        return None if url is None else RemoteResponder(url, key=key)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--responder-url") from error


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not (name and equals and value):
        raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
    return name, value


def _read_queues(base: Behaviour, texts: Iterable[str]) -> dict[str, object]:
    """Return the fields of Behaviour that --enqueued-tokens sets: N for every model, MODEL=N for one."""
    limits, default = dict(base.enqueued_tokens), base.enqueued_tokens_default
    for text in texts:
        name, _, number = text.rpartition("=")
        if not number.isdecimal():
            raise click.BadParameter(f"{number!r} is not a number of tokens", param_hint="--enqueued-tokens")
        if name:
            limits[name] = int(number)
        else:
            default = int(number)
    return {"enqueued_tokens": limits, "enqueued_tokens_default": default}


_OPTIONS = {
    "operation": str, "value": float, "status": int, "code": str, "message": str, "form": str, "model": str,
    "times": int, "skip": int, "rate": float,
}  # fmt: skip


def _switch_on(faults: Faults, text: str) -> None:
    fault, *options = text.split(",")
    try:
        chosen = dict(_pair(option, "--fault") for option in options)
        read = {name: _OPTIONS[name](value) for name, value in chosen.items()}
        faults.switch(fault, **read)
    except KeyError as error:
        raise click.BadParameter(f"a fault has no option {error}", param_hint="--fault") from error
    except (UnknownSwitchError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error
