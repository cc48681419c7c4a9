"""``vrt completion``."""

import click

from vrt import output


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: commands, options, ticket numbers, queues, agents, queries.

    \b
    bash: echo 'eval "$(vrt completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(vrt completion zsh)"' >> ~/.zshrc
    fish: vrt completion fish > ~/.config/fish/completions/vrt.fish
    """
    from click.shell_completion import get_completion_class

    from vrt.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    output.out(kind(cli, {}, "vrt", "_VRT_COMPLETE").source().rstrip())
