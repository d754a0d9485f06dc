"""Everything that can be broken on purpose."""
