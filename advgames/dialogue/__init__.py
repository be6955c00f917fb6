"""Bargaining in words: vocabulary, splits, acts, a grammar between acts and words, scenarios, corpora."""

from __future__ import annotations

from advgames.dialogue.acts import ACCEPT, ASK, END, INFORM, INSIST, KINDS, NUM_ACTS, PASS, PROPOSE, describe_act
from advgames.dialogue.corpus import Corpus, Line, format_line, read_lines, read_scenarios
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.scenarios import all_scenarios, generate_scenarios
from advgames.dialogue.splits import ITEMS, NO_DEAL, frontier, split_index, split_items
from advgames.dialogue.vocabulary import Vocabulary

__all__ = [
    "ACCEPT",
    "ASK",
    "END",
    "INFORM",
    "INSIST",
    "ITEMS",
    "KINDS",
    "NO_DEAL",
    "NUM_ACTS",
    "PASS",
    "PROPOSE",
    "Corpus",
    "Grammar",
    "Line",
    "Vocabulary",
    "all_scenarios",
    "describe_act",
    "format_line",
    "frontier",
    "generate_scenarios",
    "read_lines",
    "read_scenarios",
    "split_index",
    "split_items",
]
