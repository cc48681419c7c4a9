"""``vrt identity``."""

from pathlib import Path

import click

from vrt import output
from vrt.cli import App, ask_here
from vrt.commands import common
from vrt.text import line


@click.command()
@click.option("--identity", type=click.Path(path_type=Path, exists=True), metavar="FILE",
              help="From now on read with this age identity or SSH key (ed25519, RSA).")  # fmt: skip
@click.option("--signing-key", type=click.Path(path_type=Path, exists=True), metavar="FILE",
              help="From now on sign with this SSH key; a .pub for one that ssh-agent or a token holds.")  # fmt: skip
@common.with_app
def command(app: App, identity: Path | None, signing_key: Path | None) -> None:
    """Show my card: the public keys that an admin needs to admit me. Keys are made where there are none.

    Private keys stay in $VRT_HOME (else ~/.config/vrt); back them up. Existing SSH keys serve for both purposes.

    \b
    vrt identity > alice.yaml
    vrt identity --identity ~/.ssh/id_ed25519 --signing-key ~/.ssh/id_ed25519
    """
    from vrt.storage import articles, local
    from vrt.storage.identity import Keys

    ask_here()
    config = local.read_config(None)
    if identity:
        config = config._replace(identity=identity.resolve())
    if signing_key:
        config = config._replace(signing_key=signing_key.resolve())
    keys = Keys(config)
    made = keys.make_missing()
    card = {"recipient": keys.recipient(), "signing": keys.signing_public()}
    if identity or signing_key:
        local.write_config(local.home() / "config.yaml", config)
    for path in made:
        output.tell(f"made {line(str(path))} (keep a backup: without it you read nothing)")
    if app.json:
        output.as_json(card)
    else:
        output.out(articles.dump_yaml(card).decode().rstrip())
