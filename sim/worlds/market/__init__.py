"""A financial market: an order book, a dealer or a call auction, with accounts in integers."""
