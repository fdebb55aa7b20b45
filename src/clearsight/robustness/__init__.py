"""What a model's answers stand: graded changes that keep the class, and edits that change it."""

from clearsight.robustness.card import Card, audit
from clearsight.robustness.changes import CHANGES

__all__ = ["CHANGES", "Card", "audit"]
