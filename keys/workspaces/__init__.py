"""Grants in other workspaces, and limits that a workspace's keys hold together (V2)."""
