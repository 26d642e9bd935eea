"""The demo: invented people, partners and six months of history. Installed with DEMO=1 only."""
