"""What can go wrong. No message ever holds a key or a credential."""


class KagibanError(Exception):
    """Any of the errors of this package."""


class UnavailableError(KagibanError):
    """The verifier did not say: it is away, too slow, or can't tell at the moment. Nothing was let through.

    `retry_after`: the seconds after which asking again makes sense, where it said so.
    """

    def __init__(self, why: str, retry_after: int | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class NotAllowedError(KagibanError):
    """The verifier does not know this gateway: the credential is wrong, revoked, or sent from elsewhere."""


class BadQuestionError(KagibanError):
    """The question itself is wrong, whatever the key: a mistake in the calling program."""
