"""What changes about received mails."""
