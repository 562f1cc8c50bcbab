"""Sources: files, folders, hub names and packaged datasets become labelled examples, and examples become splits."""
