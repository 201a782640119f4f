"""Records what happens inside a network while it trains, and answers questions about it."""

from __future__ import annotations
