"""Figures and pages made from result files. Knows matplotlib, never how a number was made."""
