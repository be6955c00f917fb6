"""Agents by name: ``level-2``, ``level-3(gradient=exact)``, ``level-1+momentum(beta=0.9)``, ``my_module:MyAgent``."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from advgames.agents.attack import ATTACKS, Attack, Ensemble
from advgames.agents.baiting import ArbitraryTurn, Preemptive, Reactive, Transfer
from advgames.agents.base import Agent
from advgames.agents.human import Human
from advgames.agents.learned import RLLevelK
from advgames.agents.level_k import LevelK
from advgames.agents.libraries import LIBRARIES, find
from advgames.agents.lookahead import Lookahead
from advgames.agents.momentum import Momentum
from advgames.agents.negotiators import NeuralNegotiator, Targeted
from advgames.agents.scripted import Scripted
from advgames.agents.second_order import InfluenceFunction, OptimalContraction
from advgames.agents.simple import Null, RandomDirection
from advgames.agents.smooth import GaussianSmoothing, Smooth
from advgames.agents.spending import Spending
from advgames.agents.tables import Answer, Mix
from advgames.dialogue.scripted import POLICIES
from advgames.errors import SettingError, UnknownNameError
from advgames.settings import imported

__all__ = ["AGENTS", "WRAPPERS", "make_agent", "register_agent"]


def _attack(name: str) -> Callable[..., Agent]:
    """A factory of the attack's player, described as the attack is."""

    def make(**options: Any) -> Agent:
        return Attack(name, **options)

    make.__doc__ = getattr(ATTACKS[name], "func", ATTACKS[name]).__doc__
    return make


def _made(doc: str | None, kind: Callable[..., Agent], *arguments: Any, **options: Any) -> Callable[..., Agent]:
    """A class with some of its options given, described as `doc` says."""
    factory = functools.partial(kind, *arguments, **options)
    factory.__doc__ = doc
    return factory


def _learned(file: str, deterministic: bool = False) -> Agent:
    """A player that was trained and saved (`advgames train`): learned(file=PATH)."""
    return RLLevelK.load(file, deterministic)


_learned.kind = "any"  # type: ignore[attr-defined]

AGENTS: dict[str, Callable[..., Agent]] = {
    "null": Null,
    "random": RandomDirection,
    "optimal-contraction": OptimalContraction,
    "influence-function": InfluenceFunction,
    **{name: _attack(name) for name in ATTACKS},
    "ensemble": Ensemble,
    "smooth": Smooth,
    "gaussian-smoothing": GaussianSmoothing,
    **{name: _made(POLICIES[name].__doc__, Scripted, name) for name in POLICIES if name != "random"},
    "random-negotiator": _made(POLICIES["random"].__doc__, Scripted, "random"),
    "negotiator": NeuralNegotiator,
    "human": Human,
    "target": Targeted,
    "transfer": Transfer,
    "reactive": Reactive,
    "preemptive": Preemptive,
    "ra-pa-da": _made(
        "The reactive attack at every turn, else the preemptive, else regular speech (Algorithm 7, RA+PA+DA).",
        ArbitraryTurn,
        otherwise="delayed",
    ),
    "ra-pa-ta": _made(
        "The reactive attack at every turn, else the preemptive, else a transferred sentence (Algorithm 7, RA+PA+TA).",
        ArbitraryTurn,
        otherwise="transfer",
    ),
    "lookahead": Lookahead,
    "learned": _learned,
    "mix": Mix,
    "answer": Answer,
}
WRAPPERS: dict[str, Callable[..., Agent]] = {"momentum": Momentum, "spending": Spending}

_TERM = re.compile(r"^\s*(?P<name>[\w.:-]+?)\s*(?:\((?P<options>.*)\))?\s*$")
_LEVEL = re.compile(r"^level-(\d+)$")


def register_agent(name: str, factory: Callable[..., Agent]) -> None:
    """Make ``factory(**options)`` available by name, on the command line and in YAML too."""
    if name in AGENTS:
        raise SettingError(f"an agent named {name!r} exists already")
    AGENTS[name] = factory


def make_agent(text: str | Agent) -> Agent:
    """An agent from its name, options in parentheses, wrappers after ``+``; one that is made already, as it is.

    ``level-K`` is the null player at K = 0 and :class:`LevelK` above. ``foolbox:NAME`` and the like is an attack of
    another library (:mod:`advgames.agents.libraries`). ``module:Class`` imports a user's own.

    Raises:
        UnknownNameError: no such agent or wrapper; names the nearest known.
        SettingError: an option the agent does not take, or a text that cannot be read; neither a name nor an agent.
    """
    if not isinstance(text, str):
        if isinstance(text, type) or not (hasattr(text, "reset") and hasattr(text, "act")):
            hint = f"; write {text.__name__}(...)" if isinstance(text, type) else ""
            if hasattr(text, "predict"):
                hint = "; of a model of stable-baselines3 advgames.training.from_sb3 makes one"
            raise SettingError(f"an agent is a name, or has reset and act; got {text!r}{hint}")
        return text
    first, *rest = split_outside(text, "+")
    name, options = parse_name(first, text)
    agent = _build(_find(name), options, text)
    for term in rest:
        name, options = parse_name(term, text)
        if name not in WRAPPERS:
            raise UnknownNameError("agent wrapper", name, WRAPPERS, text)
        agent = _build(WRAPPERS[name], {"agent": agent, **options}, text)
    return agent


def _find(name: str) -> Callable[..., Agent]:
    level = _LEVEL.match(name)
    if level:
        k = int(level.group(1))
        return Null if k == 0 else functools.partial(LevelK, k)
    if name in AGENTS:
        return AGENTS[name]
    if name.partition(":")[0] in LIBRARIES:
        return find(name)
    if ":" in name:
        factory: Callable[..., Agent] = imported(name, "agent")
        return factory
    raise UnknownNameError("agent", name, [*AGENTS, "level-0", "level-1", "level-2", "level-3"])


def parse_name(term: str, text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of ``NAME`` or ``NAME(option=value, ...)``; `text` is what the errors quote.

    Raises:
        SettingError: it cannot be read.
    """
    match = _TERM.match(term)
    if not match:
        raise SettingError(f"agent {text!r}: cannot read {term!r}; write NAME, NAME(option=value) or NAME+WRAPPER")
    options: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in split_outside(match.group("options") or "", ","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise SettingError(f"agent {text!r}: option {part!r} must read name=value")
        options[key.strip()] = _value(value.strip())
    return match.group("name"), options


def split_outside(text: str, mark: str) -> list[str]:
    """`text` split at every `mark` that stands outside parentheses and brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _value(text: str) -> Any:
    """A Python literal where it is one (``true`` and ``false`` too), else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _build(factory: Callable[..., Agent], options: dict[str, Any], text: str) -> Agent:
    known = [p.name for p in inspect.signature(factory).parameters.values() if p.kind is not p.VAR_KEYWORD]
    takes_any = len(known) < len(inspect.signature(factory).parameters)
    if not takes_any and (unknown := sorted(set(options) - set(known))):
        raise UnknownNameError("option", unknown[0], known, f"agent {text!r}")
    _check_types(factory, options, text)
    try:
        agent = factory(**options)
    except TypeError as error:
        raise SettingError(f"agent {text!r}: {error}") from error
    if not isinstance(agent, Agent):
        raise SettingError(f"agent {text!r} is a {type(agent).__name__}, not an Agent")
    return agent


def _check_types(factory: Callable[..., Agent], options: dict[str, Any], text: str) -> None:
    """Refuse options that are not of the types that the constructor names."""
    plain = factory.func if isinstance(factory, functools.partial) else factory
    try:
        hints = get_type_hints(plain.__init__ if inspect.isclass(plain) else plain)
    except (NameError, TypeError):  # types that only type checkers import
        return
    for name in options.keys() & hints.keys():
        try:
            TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(options[name])
        except PydanticSchemaGenerationError:
            continue
        except ValidationError as error:
            told = " or ".join(dict.fromkeys(problem["msg"] for problem in error.errors()))
            raise SettingError(f"agent {text!r}: {name}: {told} (got {options[name]!r})") from None
