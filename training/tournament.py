"""Tournaments: every strategy against every other, on one core or several, killed and resumed at will."""

from __future__ import annotations

import hashlib
import multiprocessing
import queue
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from advgames.agents import make_agent
from advgames.errors import SettingError
from advgames.results import MatchRecord, Results
from advgames.spec import MatchSpec, TournamentSpec
from advgames.training.checkpoint import Checkpoint
from advgames.training.play import batches, build_agents, build_game, has_person, play_batch
from advgames.training.progress import Progress, silent

__all__ = ["tournament"]

_events: Any = None  # in a worker process: the queue its progress goes to


def tournament(
    spec: TournamentSpec | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    extend: bool = False,
    workers: int = 1,
    data_root: str | None = None,
    progress: Progress = silent,
    checkpoint_every: float = 10.0,
) -> Results:
    """Play a tournament into a results directory.

    Killed at any moment and resumed, it ends with the same records: a batch is always played in the same company,
    from its last checkpoint or from the start, and counts once all its records are on disk.

    Args:
        spec: what to play, or the YAML file that says it.
        out: the results directory.
        resume: go on with what is in `out`, which must be this very tournament.
        extend: go on with what is in `out`, a tournament that differs only in lacking strategies or radii of `spec`:
            the matches played stay, the new ones are added.
        workers: processes, each with one torch thread; 1 plays here, with this process's threads. (Bits may differ
            with the number of threads: resume as you began.)
        data_root: folder of data files; default: the environment variable ADVGAMES_DATA.
        progress: called with events, see :mod:`advgames.training.progress`.
        checkpoint_every: seconds between checkpoints within a batch.

    Raises:
        ConfigError, UnknownNameError, SettingError, DataFileError, AccessError: before anything is played or written.
        ResultsMismatchError: `out` holds another tournament.
    """
    if not isinstance(spec, TournamentSpec):
        spec = TournamentSpec.from_yaml(spec)
    if workers < 1:
        raise SettingError(f"workers must be at least 1, got {workers}")
    _validate(spec, data_root)
    results = Results.create(out, spec, resume=resume, extend=extend)
    played = {record.id for record in results.records()}
    alone = has_person(name for names in spec.players.values() for name in names)  # a person plays one match at a time
    plan = batches(spec.matches(), 1 if alone else spec.batch_limit)
    jobs = [_Job(batch, spec.device, data_root, results.directory, checkpoint_every) for batch in plan]
    for job in jobs:
        if job.played(played):  # a checkpoint that is still there: killed between the last record and its removal
            job.checkpoint.remove()
    progress({"kind": "start", "total": sum(map(len, plan)), "done": len(played)})
    # Later strategies tend to be the dearer ones: started first, they keep the processes evenly busy.
    for job, records in _run([job for job in jobs[::-1] if not job.played(played)], workers, progress):
        results.append(record for record in records if record.id not in played)
        job.checkpoint.remove()
    return results


def _validate(spec: TournamentSpec, data_root: str | None) -> None:
    """Build the game, and every agent once in a fresh match, so that mistakes show before work begins."""
    rows, columns = spec.players.values()
    example = spec.cell(rows[0], columns[0])[0]
    game = build_game(example, spec.device, data_root)
    build_agents(example, game)
    if spec.radii and "epsilon_attacker" not in game.settings_model.model_fields:
        raise SettingError(f"radii: {spec.game} has no radius of the attacker to vary")
    state = game.reset([spec.seeds[0]])
    for player, names in spec.players.items():
        for name in names:
            make_agent(name).reset(game.access(state, player))


@dataclass(frozen=True)
class _Job:
    """One batch to play, as a process can be handed it."""

    batch: Sequence[MatchSpec]
    device: str
    data_root: str | None
    directory: Path
    every: float

    @property
    def checkpoint(self) -> Checkpoint:
        name = hashlib.sha256("".join(match.id for match in self.batch).encode()).hexdigest()[:16]
        return Checkpoint(self.directory / "checkpoints" / f"{name}.safetensors", self.every)

    def played(self, ids: Set[str]) -> bool:
        return all(match.id in ids for match in self.batch)

    def play(self, progress: Progress) -> list[MatchRecord]:
        return play_batch(
            self.batch,
            device=self.device,
            data_root=self.data_root,
            checkpoint=self.checkpoint,
            panels=self.directory / "panels",
            progress=progress,
        )


def _run(jobs: Sequence[_Job], workers: int, progress: Progress) -> Iterator[tuple[_Job, list[MatchRecord]]]:
    """Jobs with their records, as they end."""
    if workers == 1:
        for job in jobs:
            yield job, job.play(progress)
        return
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    pool = ProcessPoolExecutor(min(workers, max(len(jobs), 1)), context, _start_worker, (events,))
    with _closing(pool):
        running: dict[Future[list[MatchRecord]], _Job] = {pool.submit(_play_in_worker, job): job for job in jobs}
        while running:
            ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            _pass_on(events, progress)
            for future in ended:
                yield running.pop(future), future.result()
        _pass_on(events, progress)


@contextmanager
def _closing(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Let the pool end on its own, or, on an error or interrupt, stop its processes."""
    try:
        yield
    except BaseException:
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


def _start_worker(events: Any) -> None:
    global _events
    _events = events
    torch.set_num_threads(1)


def _play_in_worker(job: _Job) -> list[MatchRecord]:
    return job.play(_events.put)


def _pass_on(events: Any, progress: Progress) -> None:
    while True:
        try:
            progress(events.get_nowait())
        except queue.Empty:
            return
