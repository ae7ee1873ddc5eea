"""Commands with subcommands, one of which need not be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import Any


class WithDefault(click.Group):
    """A group that takes its first word for an argument of its ``default`` command, where it names none."""

    def __init__(self, *arguments: Any, default: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.default = default

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *context.help_option_names}:
            args = [self.default, *args]
        return super().parse_args(context, args)
