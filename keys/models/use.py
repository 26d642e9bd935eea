"""What keys were used for, added up from the verifier's counters (V6, V7)."""

from django.db import models
from django.db.models.functions import Now

from keys.models.keys import Key
from keys.models.secrets import Secret


class KeyUseDay(models.Model):
    """Use of one key on one day (Asia/Tokyo), added up from the verifier's counters: the sparkline's data.

    Peaks are of calls let through in a minute and in an hour. `minute` and `hour` (since 1970) are the latest
    counted, with what they came to so far: a batch may end in the middle of one. `peak_burst` and
    `peak_concurrency` are the most of those limits used at once; 0 where nothing was measured.
    """

    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="use_days")
    day = models.DateField()
    n_allowed = models.PositiveBigIntegerField(default=0)
    n_refused = models.PositiveBigIntegerField(default=0)
    by_code = models.JSONField(default=dict)
    peak_minute = models.PositiveIntegerField(default=0, db_default=0)
    peak_hour = models.PositiveIntegerField(default=0, db_default=0)
    minute = models.PositiveIntegerField(default=0, db_default=0)
    n_in_minute = models.PositiveIntegerField(default=0, db_default=0)
    hour = models.PositiveIntegerField(default=0, db_default=0)
    n_in_hour = models.PositiveIntegerField(default=0, db_default=0)
    cost_micros = models.BigIntegerField(default=0, db_default=0)
    peak_burst = models.PositiveIntegerField(default=0, db_default=0)
    peak_concurrency = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="keys_use_day_once")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"


class KeyOutcomeDay(models.Model):
    """How one key's calls ended on one day (Asia/Tokyo), as its gateways reported it (V7).

    `by_status`: calls by HTTP status; `by_latency`: calls by the upper bound in ms of their class (see
    keys.use.visits).
    """

    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="outcome_days")
    day = models.DateField()
    by_status = models.JSONField(default=dict)
    by_latency = models.JSONField(default=dict)
    latency_ms_sum = models.PositiveBigIntegerField(default=0)
    latency_ms_max = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="keys_outcome_day_once")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"


class SeenAddress(models.Model):
    """An address from which one secret was used, or was tried and refused (V6).

    A secret has a bounded number of rows (keys.use.services.addresses); the row without an address counts the
    calls from all others. Times are right to the minute.
    """

    key = models.ForeignKey(Key, on_delete=models.PROTECT, related_name="seen_addresses")
    secret = models.ForeignKey(Secret, on_delete=models.PROTECT, related_name="seen_addresses")
    address = models.GenericIPAddressField(null=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    n_allowed = models.PositiveBigIntegerField(default=0)
    n_refused = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["secret", "address"], nulls_distinct=False, name="keys_seen_address_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.secret_id} {self.address or '*'}"


class UseBatch(models.Model):
    """A drained batch of counters, by id: a batch that comes twice is counted once (V6)."""

    uid = models.CharField(max_length=80, unique=True)
    drained_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.uid
