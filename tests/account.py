"""What tests look for in an account."""

from amibake.testing.leftovers import EXPIRING, OURS, temporary

__all__ = ["EXPIRING", "OURS", "temporary"]
