"""One thin module per command: it declares options, makes one call into the desk and prints the result."""
