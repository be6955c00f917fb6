"""Experiments of the papers that are more than one tournament; each module runs with ``python -m``."""
