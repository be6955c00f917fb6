"""The command line: ``advgames list | play | tournament | train | solve | report | bench``.

Answers go to stdout, progress and messages to stderr. What takes long to import is imported inside the commands.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from advgames.errors import AdvgamesError, ConfigError, SettingError, UnknownNameError
from advgames.files import write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from advgames.report.watch import Watch
    from advgames.results import Results

__all__ = ["app", "main"]

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
USUAL_AGENTS = "default: level-1; in negotiations fair"
KINDS = ("games", "agents", "tasks", "settings")


class _Commands(TyperGroup):
    """Commands whose named errors end in one line, and Ctrl-C in a message, not in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (AdvgamesError, OSError) as error:
            _say(f"error: {' '.join(str(error).split())}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Attacker-defender games: play matches and tournaments, solve them, report on them.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Threads = Annotated[int, typer.Option(min=1, help="Torch threads of this process. More than one rarely pays here.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of data files; default: the environment variable ADVGAMES_DATA.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what the directory holds of this very work.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A results directory.", show_default=False)]


def main() -> None:
    """Run the command line; agents of one's own are found in the present folder, as with ``python -m``."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    app()


def _version(wanted: bool) -> None:
    if wanted:
        from advgames import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_names(
    kind: Annotated[
        str | None, typer.Argument(help="games, agents, tasks or settings; all by default.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """List games, agents, tasks and the settings of games by name."""
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS, "advgames list")
    found = {name: _names(name) for name in KINDS if kind in (None, name)}
    if as_json:
        _print_json(found)
        return
    from advgames.report.console import names_table

    for name, rows in found.items():
        _console().print(names_table(name, rows))


@app.command()
def play(
    game: Annotated[str, typer.Argument(help="Name of a game, see `advgames list games`.")] = "poisoning",
    task: Annotated[
        str | None,
        typer.Option(
            help="What it is played on, see `advgames list tasks` (default: digits; in negotiations bargains).",
            show_default=False,
        ),
    ] = None,
    attacker: Annotated[
        str | None,
        typer.Option(help=f"Agent that attacks, or human: you ({USUAL_AGENTS}).", show_default=False),
    ] = None,
    defender: Annotated[
        str | None,
        typer.Option(help=f"Agent that defends, or human: you ({USUAL_AGENTS}).", show_default=False),
    ] = None,
    player: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AGENT", help="Agent of any player, by the player's name; repeatable."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="How many seeds (0, 1, ...), or the seeds: 3,5,8 (default: 3; where a person plays 1).",
            show_default=False,
        ),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the game; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to play: cpu, cuda, cuda:1, ...")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    data_root: DataRoot = None,
    threads: Threads = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Results directory, for resume, solve and report; none is written without it."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print each match as text, where a game has such.")] = False,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Play one pairing over several seeds."""
    if show and out is not None:
        raise SettingError("--show prints matches as they are played: leave out --out")
    if resume and out is None:
        raise SettingError("--resume needs --out: the directory to go on with")
    named = {"attacker": attacker, "defender": defender}
    for name, agent in _pairs(player or [], "--player").items():
        if named.get(name) is not None:
            raise SettingError(f"--player {name}: {name} is given twice")
        named[name] = agent
    players = _players(game, {name: agent for name, agent in named.items() if agent is not None})
    settings = {key: _value(value, f"--set {key}") for key, value in _pairs(setting or [], "--set").items()}
    _set_threads(threads)
    from advgames.training.play import has_person

    person = has_person(players.values())
    chosen: dict[str, Any] = {"game": game, "task": task or _game(game).default_task, "settings": settings}
    chosen |= {"seeds": _seeds(seeds or ("1" if person else "3")), "dtype": dtype}
    root = None if data_root is None else str(data_root)
    texts: list[str] = []
    with _work(as_json, quiet=person) as watch:
        if out is None:
            from advgames.training import play as play_matches

            where: dict[str, Any] = {"device": device, "data_root": root, "show": texts.append if show else None}
            records = play_matches(players=players, progress=watch, **where, **chosen)
        else:
            from advgames.settings import parse
            from advgames.spec import TournamentSpec

            strategies = {name: [agent] for name, agent in players.items()}
            spec = parse(TournamentSpec, {**chosen, "players": strategies, "device": device}, "play")
            records = _tournament(spec, out, resume, False, 1, root, watch).records()
    if as_json:
        _print_json([record.to_json() for record in records])
        return
    from advgames.report.console import records_table

    if show:
        for record, text in zip(records, texts, strict=True):
            typer.echo(f"Seed {record.seed}. {text}\n")
    _console().print(records_table(records))
    if out is not None:
        _say(f"records in {out}; a page about them: advgames report {shlex.quote(str(out))}")


@app.command()
def tournament(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml", help="The tournament; or the name of one that comes along.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Results directory.", show_default=False)],
    resume: Resume = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="Add new strategies or radii to the tournament that the directory holds.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that play; each works with one thread.")] = 1,
    data_root: DataRoot = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Play every strategy of one player against every strategy of the other."""
    from advgames.spec import TournamentSpec

    spec = TournamentSpec.from_yaml(_config(file))
    _set_threads(threads)
    with _work(as_json) as watch:
        results = _tournament(spec, out, resume, extend, workers, None if data_root is None else str(data_root), watch)
        records = results.records()
    if as_json:
        _print_json({"directory": str(out), "game": spec.game, "task": spec.task, "matches": len(records)})
        return
    from advgames.report.console import payoff_grid
    from advgames.report.tables import CellTable

    _console().print(payoff_grid(CellTable.from_game(results.empirical_game())))
    quoted = shlex.quote(str(out))
    _say(f"{len(records)} matches in {out}; go on with: advgames solve {quoted}, advgames report {quoted}")


@app.command()
def train(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml", help="The training; or the name of one that comes along.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of players and results; the same call goes on.", show_default=False)
    ],
    data_root: DataRoot = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Let players learn: a best response, a level-k ladder, or a double oracle."""
    from advgames.training.train import TrainSpec
    from advgames.training.train import train as train_players

    spec = TrainSpec.from_yaml(_config(file))
    _set_threads(threads)

    def told(name: str, steps: int, value: float) -> None:
        if name.startswith("iteration"):
            finish()
            _say(f"{name}: {steps} strategies, exploitability about {value:.4g}")
            return
        if name not in shown:
            finish()
        latest[:] = [(name, steps, value)]
        if steps - shown.get(name, -10_000) >= 10_000:
            finish()

    def finish() -> None:
        """Show the latest line, if that is still to be done."""
        for name, steps, value in latest:
            shown[name] = steps
            _say(f"{name}: {steps} steps, payoff {value:.4g}")
        latest.clear()

    latest, shown = list[tuple[str, int, float]](), dict[str, int]()
    root = None if data_root is None else str(data_root)
    try:
        with redirect_stdout(sys.stderr) if as_json else _nothing():
            found = train_players(spec, out, data_root=root, told=told)
    except KeyboardInterrupt:
        again = ["advgames", "train", str(file), "--out", str(out), *(["--data-root", root] if root else [])]
        again += ["--threads", str(threads)] if threads != 1 else []
        _say(f"interrupted; what is finished is kept. The same call goes on: {shlex.join(again)}")
        raise typer.Exit(INTERRUPTED) from None
    finish()
    if as_json:
        _print_json(found.model_dump(mode="json"))
        return
    from advgames.report.console import payoff_grid
    from advgames.report.tables import CellTable

    _console().print(payoff_grid(CellTable.from_game(found.table())))
    if found.exploitability:
        what = "of each level" if spec.method == "ladder" else "of each iteration's mixes"
        least, most = (choose(each for step in found.budget for each in step.values()) for choose in (min, max))
        budget = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        typer.echo(f"exploitability {what}, by replies that took {budget} decisions to learn (an estimate):")
        for value, intervals in zip(found.exploitability, found.intervals, strict=True):
            known = [half for half in intervals.values() if half is not None]
            typer.echo(f"  {value:.4g}" + (f" ± {sum(known):.2g}" if len(known) == len(intervals) else ""))
    for player, mix in found.mixes.items():
        parts = (f"{name} {weight:.3g}" for name, weight in mix.items() if weight >= 0.001)
        typer.echo(f"{player} at the end: {', '.join(parts)}")
    if found.reason:
        typer.echo(f"ended: {found.reason}")
    _say(f"players and result.json in {shlex.quote(str(out))}; a picture: advgames report {shlex.quote(str(out))}")


@app.command()
def solve(
    directory: Directory,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    as_json: Json = False,
) -> None:
    """Equilibrium, exploitabilities and their uncertainty; also written to DIR/solution.json."""
    from advgames.report.solution import solve as solve_game
    from advgames.results import Results

    _no_training(directory)
    results = Results.open(directory)
    missing = results.missing()
    try:
        game = results.empirical_game()
    except AdvgamesError as error:
        if not missing:
            raise
        raise ConfigError(
            f"{directory}: {len(missing)} matches have not been played, whole pairs among them; "
            f"finish with: {_resume_command(directory)}"
        ) from error
    if missing:
        _say(f"warning: {len(missing)} matches have not been played; this is the solution of those that have")
    solution = solve_game(game, confidence)
    spec = results.spec
    document = {"game": spec.game, "task": spec.task, "matches": len(results.records()), **solution.to_json()}
    write_whole(Path(directory) / "solution.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    if as_json:
        _print_json(document)
        return
    from advgames.report import console

    screen = _console()
    screen.print(console.payoff_grid(solution.payoff))
    mixes = console.mixes_table(solution)
    if mixes is not None:
        screen.print(mixes)
    for line in console.equilibrium_lines(solution):
        screen.print(line, highlight=False, markup=False)
    _say(f"written to {Path(directory) / 'solution.json'}")


@app.command()
def report(
    directory: Directory,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    as_json: Json = False,
) -> None:
    """Write DIR/report.html, one self-contained page; of a training DIR/training.svg, one picture."""
    from advgames.report import write_picture, write_report
    from advgames.report.trained import FILE

    if (directory / FILE).exists():
        path = write_picture(directory)
    else:
        _no_training(directory)
        path = write_report(directory, confidence)
    if as_json:
        _print_json({"report": str(path)})
    else:
        typer.echo(path)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which benchmarks.")] = "poisoning",
    device: Annotated[str, typer.Option(help="Where to measure.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Measure speed, as ratios within one run, on one thread."""
    _set_threads(1)
    from advgames.training.bench import run

    rows = []
    with redirect_stdout(sys.stderr) if as_json else _nothing():
        for row in run(name, device):
            _say(f"{row.name}: {row.ratio:.2f} ({row.better} {row.floor:g})")
            rows.append(row.to_json())
    if as_json:
        _print_json(rows)
        return
    from advgames.report.console import bench_table

    _console().print(bench_table(rows))


def _tournament(
    spec: Any, out: Path, resume: bool, extend: bool, workers: int, data_root: str | None, watch: Watch
) -> Results:
    """Play a tournament; Ctrl-C says how to go on."""
    from advgames.training import tournament as play_tournament

    try:
        return play_tournament(
            spec, out, resume=resume, extend=extend, workers=workers, data_root=data_root, progress=watch
        )
    except KeyboardInterrupt:
        watch.close()
        if not (out / "tournament.yaml").exists():
            raise
        root = "" if data_root is None else f" --data-root {shlex.quote(data_root)}"
        _say(f"interrupted; what is finished is kept. Go on with: {_resume_command(out)}{root}")
        raise typer.Exit(INTERRUPTED) from None


def _no_training(directory: Path) -> None:
    """Say what there is instead, where a directory holds a training."""
    from advgames.report.trained import FILE

    if (directory / "tournament.yaml").exists():
        return
    if (directory / FILE).exists():
        raise ConfigError(f"{directory} holds a training, no tournament: its payoffs and mixes stand in {FILE}")
    if (directory / "population.json").exists():
        raise ConfigError(
            f"{directory} holds a training without a result: it has not ended (the same call of advgames train goes "
            "on), or Python called it (and has the result)"
        )


def _config(file: Path) -> Path:
    """The file itself, or the packaged one of that name (such as digits-levels)."""
    if file.exists() or file.name != str(file) or file.suffix:
        return file
    import advgames.training

    packaged = {p.stem: p for p in (Path(str(advgames.training.__file__)).parent / "configs").glob("*.yaml")}
    if file.name not in packaged:
        raise UnknownNameError("packaged file", file.name, packaged)
    return packaged[file.name]


def _resume_command(directory: Path) -> str:
    quoted = shlex.quote(str(directory))
    return f"advgames tournament {shlex.quote(str(directory / 'tournament.yaml'))} --out {quoted} --resume"


@contextmanager
def _work(as_json: bool, quiet: bool = False) -> Iterator[Watch]:
    """Progress on stderr, unless `quiet`; with JSON to come, whatever else is printed goes there too."""
    from rich.console import Console
    from rich.logging import RichHandler

    from advgames.report.watch import Watch

    console = Console(quiet=True, force_terminal=False) if quiet else _console(stderr=True)
    heard = _console(stderr=True) if quiet else console
    told = RichHandler(console=heard, show_time=False, show_level=False, show_path=False)
    log = logging.getLogger("advgames")
    level = log.level
    log.addHandler(told)
    log.setLevel(logging.INFO)
    try:
        with redirect_stdout(sys.stderr) if as_json else _nothing(), Watch(console) as watch:
            yield watch
    finally:
        log.removeHandler(told)
        log.setLevel(level)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _names(kind: str) -> list[dict[str, Any]]:
    """Names of a kind, each with a line about it."""
    if kind == "games":
        from advgames.games import GAMES

        return [{"name": n, "about": _about(g), "players": list(g.players)} for n, g in GAMES.items()]
    if kind == "settings":
        from advgames.games import GAMES

        return [
            {"game": game, "name": name, "about": f"[{game}] {about}"}
            for game, made in GAMES.items()
            for name, about in _settings_of(made.settings_model).items()
        ]
    if kind == "tasks":
        from advgames.tasks import PAIRED, TASKS
        from advgames.tasks.negotiations import NEGOTIATIONS
        from advgames.tasks.payoff_tables import PAYOFF_TABLES

        tasks = {name: _about(task) for name, task in TASKS.items()}
        tasks |= {f"{name}:AvB": f"classes A and B of {name}, digits such as 0 and 1" for name in PAIRED}
        tasks |= {name: _about(task) for name, task in NEGOTIATIONS.items()}
        tasks |= {name: _about(task) for name, task in PAYOFF_TABLES.items()}
        tasks["random:MxN:SEED"] = "payoffs of m rows and n columns, uniform in (0, 1]; and FILE.csv, those of a file"
        return [{"name": name, "about": about} for name, about in tasks.items()]
    from advgames.agents import AGENTS, WRAPPERS, LevelK
    from advgames.agents.libraries import LIBRARIES, names

    kinds = {name: getattr(agent, "kind", None) or agent().kind for name, agent in AGENTS.items()}
    levels = {"level-K": f"level 0 does nothing; above: {_about(LevelK)}"}
    agents = levels | {name: _about(agent) for name, agent in AGENTS.items() if kinds[name] == "inputs"}
    agents |= {f"AGENT+{name}": _about(wrapper) for name, wrapper in WRAPPERS.items()}
    installed = names()
    for library in LIBRARIES:
        about = ", ".join(installed[library]) if library in installed else "not installed, see docs/libraries.md"
        agents["autoattack" if library == "autoattack" else f"{library}:NAME"] = about
    agents |= {name: _about(agent) for name, agent in AGENTS.items() if kinds[name] != "inputs"}
    return [{"name": n, "plays": kinds.get(n, "inputs"), "about": about} for n, about in agents.items()]


def _about(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((thing.__doc__ or "").strip().split("\n\n")[0].split())


def _settings_of(model: Any) -> dict[str, str]:
    """Settings with their lines of the docstring's Attributes section, and their defaults."""
    found: dict[str, str] = {}
    section = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    for entry in re.split(r"\n(?= {4}\S)", section):
        names, _, about = entry.strip().partition(": ")
        found |= dict.fromkeys(names.split(", "), " ".join(about.replace("``", "").split()))
    for name, field in model.model_fields.items():
        default = "" if field.default is None else f" (default: {field.default})"
        found[name] = found.get(name, "") + default
    return found


def _game(name: str) -> Any:
    """A game's class by its name."""
    from advgames.games import GAMES

    if name not in GAMES:
        raise UnknownNameError("game", name, GAMES)
    return GAMES[name]


def _players(game: str, named: dict[str, str]) -> dict[str, str]:
    """An agent for every player of the game, the usual one where none is named."""
    made = _game(game)
    known = getattr(made, "players", tuple(named))
    for name in named:
        if name not in known:
            raise UnknownNameError("player", name, known, game)
    return {name: named.get(name, made.default_agent) for name in known}


def _seeds(text: str) -> list[int]:
    """``3`` is 0, 1, 2; ``3,5`` are just these."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or ("," not in text and numbers[0] < 1):
        raise SettingError(f"--seeds: expected a number of seeds, or seeds with commas between; got {text!r}")
    return numbers if "," in text else list(range(numbers[0]))


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``name=value`` texts as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"{option}: expected NAME=VALUE, got {text!r}")
        if name.strip() in found:
            raise SettingError(f"{option}: {name.strip()} is given twice")
        found[name.strip()] = value.strip()
    return found


def _value(text: str, where: str) -> Any:
    """A YAML value."""
    import yaml

    from advgames.spec import parse_yaml

    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise SettingError(f"{where}: {text!r} is no YAML value: {error}") from error


def _set_threads(count: int) -> None:
    """Torch threads of this process, and of those it starts."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    import torch

    torch.set_num_threads(count)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


def _say(text: str) -> None:
    """A message for people."""
    typer.echo(text, err=True)


def _print_json(value: Any) -> None:
    from advgames.report.numbers import plain

    typer.echo(json.dumps(plain(value), indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
