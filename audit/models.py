"""The audit log: rows that the database itself refuses to change (L1, L2)."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class PersonKey(models.Model):
    """The key under which one person's fields in events are sealed; destroying it is erasure (L4)."""

    person_ref = models.CharField(max_length=40, unique=True)
    sealed_key = models.TextField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.person_ref


class Event(models.Model):
    """Something that happened. `canonical` are the exact bytes that were recorded, `digest` their SHA-256.

    All other columns repeat what `canonical` says, for searching. `objects_touched` names every thing
    that the event concerns as `kind:number` (`key:KB-0412`), so that each has its timeline. `sealed` is the
    actor's address and browser, readable only while the person's key exists.
    """

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    occurred_at = models.DateTimeField()
    action = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=20)
    actor_ref = models.CharField(max_length=60)
    objects_touched = ArrayField(models.CharField(max_length=60))
    payload = models.JSONField()
    sealed = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    canonical = models.BinaryField()
    digest = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["-id"]
        indexes = [
            GinIndex(fields=["objects_touched"], name="audit_event_objects"),
            models.Index(fields=["action", "-id"], name="audit_event_action"),
            models.Index(fields=["actor_ref", "-id"], name="audit_event_actor"),
            models.Index(fields=["occurred_at", "id"], name="audit_event_time"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.uid}"
