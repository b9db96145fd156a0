"""The `loop` command: the list of its verbs. A new verb is one file and one line here."""

from typing import Final

import click

from gateway.verbs.lazy import Verbs

VERBS: Final = {
    "up": "gateway.verbs.up:up",
    "demo": "gateway.verbs.demo:demo",
    "serve": "gateway.verbs.serve:serve",
    "work": "gateway.verbs.work:work",
    "sandbox": "gateway.verbs.sandbox:sandbox",
    "migrate": "gateway.verbs.migrate:migrate",
    "keys": "gateway.verbs.keys:keys",
    "processors": "gateway.verbs.processors:processors",
    "vault": "gateway.verbs.vault:vault",
    "webhooks": "gateway.verbs.webhooks:webhooks",
    "projections": "gateway.verbs.projections:projections",
    "settlements": "gateway.verbs.settlements:settlements",
    "sagas": "gateway.verbs.sagas:sagas",
    "replay": "gateway.verbs.replay:replay",
    "audit": "gateway.verbs.audit:audit",
}
"""Every verb and where it stands; a verb is imported when it is asked for."""


@click.group(
    cls=Verbs,
    places=VERBS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: loop demo",
)
@click.version_option(package_name="loop-ledger", prog_name="loop")
def cli() -> None:
    """Loop, an event-sourced payment ledger.

    `loop up` starts everything in one terminal; the other verbs find it through --data or
    LOOP_HOME. Exit codes: 0 done, 1 not done (the message says why), 2 wrong usage.
    """


def main() -> None:
    """Run the command line."""
    cli(prog_name="loop")


if __name__ == "__main__":
    main()
