"""Receipts: signed statements of what one call was shown, for whoever made or paid for it."""
