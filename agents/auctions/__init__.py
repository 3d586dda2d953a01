"""Auctions among agents, made of messages: call, bid, close, award, confirm, outcome; and CBBA."""
