"""Finite automata over words: built phrase by phrase, then made deterministic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from advgames.errors import SettingError

__all__ = ["Automaton", "Network"]


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton; state 0 is its start.

    Attributes:
        edges: for each state, the state after each word it knows.
        meanings: what has been said in each state, where it is complete; else -1.
    """

    edges: tuple[dict[str, int], ...]
    meanings: tuple[int, ...]

    def meaning(self, words: Iterable[str]) -> int:
        """What words mean; -1 where the automaton does not know them."""
        state = 0
        for word in words:
            if word not in self.edges[state]:
                return -1
            state = self.edges[state][word]
        return self.meanings[state]

    def reachable(self) -> list[set[int]]:
        """For each state, the meanings of all ways to go on from it; what it means itself among them."""
        reach = [{meaning} - {-1} for meaning in self.meanings]
        grown = True
        while grown:
            grown = False
            for state in reversed(range(len(reach))):
                size = len(reach[state])
                reach[state].update(*(reach[after] for after in self.edges[state].values()))
                grown |= len(reach[state]) > size
        return reach


class Network:
    """An automaton in the making, where one word may lead several ways; state 0 is its start."""

    def __init__(self) -> None:
        self._edges: list[list[tuple[str, int]]] = []
        self._meanings: list[int] = []
        self.state()

    def state(self, meaning: int = -1) -> int:
        """A new state; words that end in it mean `meaning`."""
        self._edges.append([])
        self._meanings.append(meaning)
        return len(self._edges) - 1

    def link(self, source: int, phrase: str, target: int) -> None:
        """From `source` to `target` by the words of a phrase; an empty one goes there at once."""
        words = phrase.split() or [""]
        for word in words[:-1]:
            between = self.state()
            self._edges[source].append((word, between))
            source = between
        self._edges[source].append((words[-1], target))

    def words(self) -> list[str]:
        """All words, in the order in which they came."""
        return list(dict.fromkeys(word for edges in self._edges for word, _ in edges if word))

    def deterministic(self) -> Automaton:
        """The same language with one way for each word (the subset construction).

        Raises:
            SettingError: the same words mean two things.
        """
        first = self._spread([0])
        number, found, edges = {first: 0}, [first], []
        for states in found:  # grows as it is walked
            ways: dict[str, list[int]] = {}
            for word, target in (edge for state in states for edge in self._edges[state] if edge[0]):
                ways.setdefault(word, []).append(target)
            row = {}
            for word, targets in ways.items():
                after = self._spread(targets)
                if after not in number:
                    number[after] = len(found)
                    found.append(after)
                row[word] = number[after]
            edges.append(row)
        return Automaton(tuple(edges), tuple(map(self._meaning, found)))

    def _spread(self, states: list[int]) -> tuple[int, ...]:
        """The states, and all that no word separates from them."""
        seen, todo = set(states), list(states)
        while todo:
            near = [target for word, target in self._edges[todo.pop()] if not word and target not in seen]
            seen.update(near)
            todo.extend(near)
        return tuple(sorted(seen))

    def _meaning(self, states: tuple[int, ...]) -> int:
        meanings = {self._meanings[state] for state in states} - {-1}
        if len(meanings) > 1:
            raise SettingError(f"the same words mean {' and '.join(map(str, sorted(meanings)))}")
        return meanings.pop() if meanings else -1
