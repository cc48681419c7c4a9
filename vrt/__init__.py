"""vrt: a help desk for volunteer response teams, kept in an encrypted git repository."""

__version__ = "0.1.0"
