"""Loops: matches, tournaments and what turns them into tables and equilibria."""
