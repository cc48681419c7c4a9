"""``vrt identity``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.storage import local
from vrt.storage.local import Config
from vrt.text import line


@click.command()
@common.my_keys
@common.with_app
def command(app: App, config: Config) -> None:
    """Show my card: the public keys that an admin needs to admit me. Keys are made where there are none.

    Private keys stay in $VRT_HOME (else ~/.config/vrt); back them up. Existing SSH keys serve for both purposes;
    those named here are used from now on.

    \b
    vrt identity > alice.yaml
    vrt identity --identity ~/.ssh/id_ed25519 --signing-key ~/.ssh/id_ed25519
    """
    from vrt.storage import articles
    from vrt.storage.identity import Keys

    keys = Keys(config)
    made = keys.make_missing()
    card = {"recipient": keys.recipient(), "signing": keys.signing_public()}
    if config != local.read_config(None):
        local.write_config(local.home() / "config.yaml", config)
    for path in made:
        output.tell(f"made {line(str(path))} (keep a backup of it)")
    if app.json:
        output.as_json(card)
    else:
        output.out(articles.dump_yaml(card).decode().rstrip())
