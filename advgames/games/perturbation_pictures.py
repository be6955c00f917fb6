"""What a report draws of the test-time game: windows on the victim around single inputs, and phi on a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advgames import rng
from advgames.games.transition import Transition
from advgames.robust_sets import RobustSets, linearise

if TYPE_CHECKING:
    from advgames.games.perturbation import PerturbationGame
    from advgames.games.perturbation_state import PerturbationState

__all__ = ["grid", "pictures"]

Pictures = dict[str, NDArray[Any]]
INPUTS = 6  # whose windows are drawn
SIDE = 61  # points along one side of a grid
WINDOW_REACH, SLICE_REACH = 1.5, 1.25  # how far a picture reaches, in radii
WINDOW_ENTRIES = 20_000_000  # of all inputs the victim is asked about: the largest windows that count as cheap
SETS, DRAWN_SETS, FEWEST_SETS = 200, 36, 20  # robust sets that make phi, and those whose border is drawn
SET_ENTRIES = 2_000_000  # of the gradients that define them
ANGLES = 121


def pictures(game: PerturbationGame, state: PerturbationState, match: int = 0) -> Pictures:
    """Pictures of one match's last minibatch; empty before there is one, and what would be dear is left out.

    All coordinates are in radii. Of the first inputs (n of them):

    - given (n, 3): the victim's classes of x, x' and x''.
    - window_classes (m, S, S): its classes of x + eps_atk (s u + t v), of rows t and columns s, both from
      -window_reach to window_reach; u is the FGM direction, v a random one orthogonal to it, both of norm 1
      (P5; additive_nash.txt appendix E). window_inputs (m,): of which of the n inputs.
    - window_paths (m, 2, 2): where x' and x'' lie, projected onto the plane, as (s, t).
    - window_outline (m, A): where the sphere of radius eps_atk cuts the plane, at A angles from 0 to 2 pi.

    Of the first SETS inputs, linearised (P2; additive_nash.txt eq. 5):

    - phi (S, S): phi(eps_def (s p + t q)) against an attacker of radius eps_atk, rows t and columns s, both from
      -phi_reach to phi_reach.
    - phi_plane: what spans it: "inputs" (the two axes of two-dimensional inputs), "played" (p is the defence played,
      q the direction in which most gradients c_i / |c_i| lie) or "leading" (the first two such directions).
    - phi_sets (3,): how many inputs, and how many of them keep their class everywhere in the picture, and nowhere.
    - phi_rows (k, K-1, 3): (a, b, c) of the borders a s + b t + c = 0 of sets that end within the picture, the first.
    - phi_played (2,): the defence played, as (s, t), and phi_at (2,): phi at no defence, and there; NaN where every
      input has a defence of its own. phi_outline (A,): as above. phi_draws: of how many pairs of draws that is one.
    - radii (2,): of attacker and defender.
    """
    last = state.last
    if last is None:
        return {}
    here = Transition(*(field[match] for field in vars(last).values()))
    attacker, defender = float(state.epsilon_attacker[match]), float(state.epsilon_defender[match])
    stages = torch.stack([here.clean[:INPUTS], here.attacked[:INPUTS], here.repaired[:INPUTS]], 1)
    found = {"radii": np.array([attacker, defender]), "given": _classes(game, stages)}
    seed = state.seeds[match : match + 1]
    return found | _windows(game, here, seed, attacker) | _slice(game, here, attacker, defender)


def grid(reach: float) -> Tensor:
    """(s, t) of a picture's points, rows t and columns s.  # (SIDE, SIDE, 2)"""
    ends = torch.linspace(-reach, reach, SIDE, dtype=torch.float64)
    return torch.stack(torch.meshgrid(ends, ends, indexing="xy"), -1)


def _windows(game: PerturbationGame, last: Transition, seed: Tensor, radius: float) -> Pictures:
    """Church windows of the first inputs at which FGM has a direction."""
    clean, size = last.clean, last.clean[0].numel()
    count = min(INPUTS, len(clean), WINDOW_ENTRIES // (SIDE * SIDE * size))
    if radius <= 0 or size < 2 or count < 1:
        return {}
    clean = clean[:count]
    classes = last.labels[:count] if game.settings.reference == "label" else game.victim.logits(clean).argmax(-1)
    margins, gradients = linearise(game.victim, clean, classes)
    nearest = gradients[torch.arange(count, device=margins.device), margins.argmin(1)]
    across = rng.normal(seed, "window", 0, (count, size), dtype=torch.float64)[0]
    fgm = game.threat.unit(-nearest[None].to(torch.float64))[0]
    kept = (fgm != 0).any(1).nonzero()[:, 0]
    if len(kept) == 0:
        return {}
    planes = torch.stack([_plane(game, fgm[i], across[i]) for i in kept.tolist()])  # (m, 2, d)
    moves = [(moved[:count] - clean).flatten(1)[kept].to(torch.float64) for moved in (last.attacked, last.repaired)]
    paths = torch.stack([_coordinates(planes, move) for move in moves], 1) / radius
    reach = max(WINDOW_REACH, 1.1 * float(paths.abs().max()))
    steps = radius * grid(reach).to(planes)
    shown = []
    for plane, point in zip(planes, clean[kept], strict=True):
        moved = point + (steps @ plane).reshape(SIDE, SIDE, *point.shape).to(point)
        shown.append(_classes(game, moved))
    return {
        "window_inputs": kept.cpu().numpy().astype(np.uint8),
        "window_classes": np.stack(shown),
        "window_reach": np.array(reach, dtype=np.float32),
        "window_paths": paths.cpu().numpy().astype(np.float32),
        "window_outline": np.stack([_outline(game, plane) for plane in planes]),
    }


def _slice(game: PerturbationGame, last: Transition, attacker: float, defender: float) -> Pictures:
    """phi on a plane through 0, with the borders of some robust sets."""
    inputs, size = game.settings.pool(game.task).inputs, last.clean[0].numel()
    count = min(SETS, len(inputs), SET_ENTRIES // (size * (game.victim.num_classes - 1)))
    if defender <= 0 or size < 2 or count < min(FEWEST_SETS, len(inputs)):
        return {}
    classes = game.settings.pool(game.task).labels[:count] if game.settings.reference == "label" else None
    sets = RobustSets.from_model(game.victim, inputs[:count], classes, game.threat.norm)
    shared = game.settings.defense == "vector"
    played = last.defense[0].flatten().to(sets.gradients) * (1.0 if shared else 0.0)
    kind, plane = _slice_plane(game, sets, played)
    points = defender * grid(SLICE_REACH).to(plane) @ plane  # (S, S, d)
    inside = torch.stack([sets.contains(row, attacker) for row in points])  # (S, S, n)
    always, ever = inside.flatten(0, 1).all(0), inside.flatten(0, 1).any(0)
    crossing = (ever & ~always).nonzero()[:DRAWN_SETS, 0]
    slopes, heights = defender * sets.gradients[crossing] @ plane.T, sets.offsets(attacker)[crossing]
    at = sets.phi(defender * torch.stack([torch.zeros_like(played), played]), attacker)
    at[1] = at[1] if shared else torch.nan
    return {
        "phi": inside.to(torch.float64).mean(-1).cpu().numpy().astype(np.float32),
        "phi_reach": np.array(SLICE_REACH, dtype=np.float32),
        "phi_plane": np.array(kind),
        "phi_rows": torch.cat([slopes, heights[..., None]], -1).cpu().numpy().astype(np.float32),
        "phi_played": _coordinates(plane[None], played[None])[0].cpu().numpy() if shared else np.full(2, np.nan),
        "phi_at": at.cpu().numpy(),
        "phi_draws": last.draws.cpu().numpy(),
        "phi_outline": _outline(game, plane),
        "phi_sets": np.array([count, int(always.sum()), count - int(ever.sum())]),
    }


def _slice_plane(game: PerturbationGame, sets: RobustSets, played: Tensor) -> tuple[str, Tensor]:
    """What spans the plane of phi, in a word, and its two directions.  # (2, d)"""
    if sets.dimension == 2:
        return "inputs", torch.eye(2).to(played)
    distances = sets.margins / sets.dual_norms.clamp(min=1e-30)
    nearest = sets.gradients[torch.arange(len(sets), device=distances.device), distances.argmin(1)]
    units = torch.nn.functional.normalize(nearest, dim=1)
    leading = torch.linalg.svd(units, full_matrices=False).Vh[:2]
    leading = leading * torch.where(leading @ units.mean(0) < 0, -1.0, 1.0)[:, None]
    if bool((played != 0).any()):
        return "played", _plane(game, played, leading[0])
    return "leading", _plane(game, leading[0], leading[-1])


def _plane(game: PerturbationGame, first: Tensor, second: Tensor) -> Tensor:
    """Two orthogonal directions of norm 1, the first along `first`, the second in its plane with `second`; (2, d).

    A second direction parallel to the first gives way to the coordinate axis that is least so.
    """
    second = torch.nn.functional.normalize(second, dim=0)
    if float((second - (second @ first) / (first @ first) * first).norm()) < 1e-6:
        second = torch.eye(len(first)).to(first)[first.abs().argmin()]
    second = second - (second @ first) / (first @ first) * first
    both = torch.stack([first, second])
    return both / game.threat.norms(both[None])[0, :, None]


def _coordinates(planes: Tensor, moves: Tensor) -> Tensor:
    """(s, t) of the projections of moves (m, d) onto planes (m, 2, d) of orthogonal directions; (m, 2)."""
    return torch.einsum("mkd,md->mk", planes, moves) / planes.square().sum(-1)


def _outline(game: PerturbationGame, plane: Tensor) -> NDArray[np.float32]:
    """How far the unit sphere lies from 0 in the plane, at ANGLES angles."""
    angles = torch.linspace(0, 2 * torch.pi, ANGLES, dtype=plane.dtype, device=plane.device)
    circle = torch.stack([angles.cos(), angles.sin()], 1) @ plane
    reach: NDArray[Any] = (1 / game.threat.norms(circle[None])[0]).cpu().numpy()
    return reach.astype(np.float32)


def _classes(game: PerturbationGame, points: Tensor) -> NDArray[Any]:
    """The victim's classes of inputs of any leading shape."""
    found: NDArray[Any] = game.victim.logits(points).argmax(-1).cpu().numpy()
    return found.astype(np.uint8 if game.victim.num_classes <= 256 else np.uint16)
