"""How a prompt runs over items, is shown before, and is measured."""
