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
    if shell == "bash":
        output.out(BASH.strip())
        return
    from click.shell_completion import get_completion_class

    from vrt.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    output.out(kind(cli, {}, "vrt", "_VRT_COMPLETE").source().rstrip())


# Not click's own: bash parts words at ":", so field:value must be put together again, and only what follows the
# colon given back; and no space is wanted after "state:".
BASH = """
_vrt_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" words word kind value prefix=""
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local current="${words[${#words[@]}-1]}"
    [[ $current == *:* ]] && prefix="${current%:*}:"
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain)
                [[ $value == *: ]] && compopt -o nospace 2>/dev/null
                COMPREPLY+=("${value#"$prefix"}") ;;
        esac
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _VRT_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _vrt_completion vrt
"""
