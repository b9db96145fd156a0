"""A group of verbs that are imported when they are asked for: each starts without the others."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from typing_extensions import override


class Verbs(click.Group):
    """A click group; `places` names its verbs in order, and where each stands, `module:name`."""

    def __init__(self, *args: Any, places: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._places = places

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command
