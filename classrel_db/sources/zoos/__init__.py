"""Published models by their names: where their weights lie, which layer is the head, what its rows are."""
