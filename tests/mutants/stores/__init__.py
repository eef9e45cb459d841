"""Stores that are each broken in one way; each part of the suite has those that break its promises."""
