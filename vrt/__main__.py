"""``python -m vrt``."""

from vrt.cli import main

if __name__ == "__main__":
    main()
