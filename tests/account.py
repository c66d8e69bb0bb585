"""What tests look for in an account."""

from amibake.testing.leftovers import EXPIRING, OURS, shutting_down, temporary

__all__ = ["EXPIRING", "OURS", "shutting_down", "temporary"]
