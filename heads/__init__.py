"""The heads file: schema, load, save, and the bundled files."""

from .load import load_heads
from .schema import AlignmentHead, CorpusInfo, HeadsFile, Interval, Ranking

__all__ = ["AlignmentHead", "CorpusInfo", "HeadsFile", "Interval", "Ranking", "load_heads"]
