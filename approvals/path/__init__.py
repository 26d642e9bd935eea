"""The steps of a request: who may decide them, what is owed, holds, lost mails, the watch (A1, A2)."""
