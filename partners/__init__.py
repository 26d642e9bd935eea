"""Who keys are for: partners, contacts, contracts, workspaces, identity checks."""
