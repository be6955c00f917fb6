"""Faces of the games: PettingZoo, Gymnasium and batched environments."""
