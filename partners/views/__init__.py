"""Pages of partners and what belongs to them."""
