"""`config.settings` for mypy's Django plugin, which imports them where no environment is set."""

import os

from tests.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)
os.environ.update(DATABASE_URL="postgres:///kagiban", REDIS_URL="redis://127.0.0.1:6379/0")

from config.settings import *
