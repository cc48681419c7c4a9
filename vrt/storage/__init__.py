"""Everything that touches git, keys, files and the index. Below it: only the pure domain."""
