"""Tests in a real browser; a package, because they share one Chromium."""
