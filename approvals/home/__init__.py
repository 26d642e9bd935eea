"""The first page: the work queue, and the register of all mails about requests."""
