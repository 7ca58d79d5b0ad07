"""What `import dcvc` offers: encoder, decoder and facts about streams, for Python programs. docs/python.md shows it."""
