"""Argon2 for the passwords of tests: the same algorithm at the lowest price."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class CheapArgon2PasswordHasher(Argon2PasswordHasher):
    """0.1 ms instead of 100."""

    time_cost = 1
    memory_cost = 64
    parallelism = 1
