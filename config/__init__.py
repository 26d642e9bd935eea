"""Settings from the environment, URLs, the WSGI entry, Celery and its one beat table."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
