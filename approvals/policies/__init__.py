"""Which steps a request needs: rules, linter, editor, dry run, two people (A2)."""
