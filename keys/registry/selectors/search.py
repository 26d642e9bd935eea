"""Finding keys by what a person types (K4)."""

import re

from django.contrib.postgres.fields import ArrayField
from django.db.models import F, Func, QuerySet, TextField, Value

from core.parsing import search_words
from keys.models import Key, Secret
from keys.secrets.form import KEY_ID_LENGTH

_KEY_ID = re.compile(rf"[0-9A-Za-z]{{{KEY_ID_LENGTH}}}", re.ASCII).fullmatch


def search(keys: QuerySet[Key], text: str) -> QuerySet[Key]:
    """Keys whose text holds every word; a word of 12 characters may also be the `key_id` of a secret.

    Two neighbouring characters and more go through the index of migration 0002 (Japanese has no spaces to
    split at); a single character is looked for row by row.
    """
    for word in search_words(text):
        holder = Secret.objects.filter(public_id=word).values("key").first() if _KEY_ID(word) else None
        keys = keys.filter(pk=holder["key"]) if holder else _with_word(keys, word.lower())
    return keys


def _with_word(keys: QuerySet[Key], word: str) -> QuerySet[Key]:
    if len(word) > 1:
        keys = keys.alias(bigrams=_bigrams(F("search_text"))).filter(bigrams__contains=_bigrams(Value(word)))
    return keys.filter(search_text__contains=word)


def _bigrams(text: F | Value) -> Func:
    return Func(text, function="kagiban_bigrams", output_field=ArrayField(TextField()))
