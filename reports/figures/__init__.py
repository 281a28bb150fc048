"""Figures: the data of each one apart from its drawing. Knows matplotlib."""
