"""A codec family of one tiny network whose units hold up to three pictures, written by docs/families.md alone."""
