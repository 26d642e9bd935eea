"""The pages of requests and approvals, by what they are about."""
