"""Tables, plots and the self-contained HTML page.

``import advgames.report`` stays light: matplotlib, jinja2 and the solvers come in when a page is written.
"""

from __future__ import annotations

from advgames.report.page import write_report
from advgames.report.solution import Solution, solve
from advgames.report.tables import CellTable, payoff_table
from advgames.report.trained import write_picture

__all__ = ["CellTable", "Solution", "payoff_table", "solve", "write_picture", "write_report"]
