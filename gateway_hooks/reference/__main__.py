"""Run the reference gateway: ``python -m gateway_hooks.reference --home DIR --api URL --token TOKEN``."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from gateway_hooks import seat
from gateway_hooks.demo import markers
from gateway_hooks.process import when_asked_to_end
from gateway_hooks.reference.gateway import ReferenceGateway
from gateway_hooks.reference.sessions import Words
from journal.errors import HandoffError


async def _agent(_history: Sequence[Words], said: str) -> str:
    """The model's part: waits as long as the text asks for, and answers every marked message."""
    await asyncio.sleep(markers.slow_s(said))
    return markers.answer(markers.markers(said))


async def _serve(home: Path, api: str, token: str) -> None:
    gateway = ReferenceGateway(home, api, token, _agent)
    place = seat.take(home, gateway, dict(os.environ))
    gateway.start(place.ledger)

    def leave() -> None:
        place.leaving()
        gateway.end()

    when_asked_to_end(asyncio.get_running_loop(), leave, ctrl_c=True)
    if place.serving:
        await asyncio.to_thread(gateway.connect)
    place.running()
    await gateway.until_ended()
    await asyncio.to_thread(place.ended)


@click.command()
@click.option("--home", type=click.Path(path_type=Path), required=True)
@click.option("--api", required=True, help="The Bot API server, e.g. http://127.0.0.1:8081")
@click.option("--token", required=True)
def main(home: Path, api: str, token: str) -> None:
    """Serve one bot until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(home, api, token))
    except HandoffError as error:
        click.echo(error.line(), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
