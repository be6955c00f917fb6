"""The end-to-end negotiator: a recurrent model that speaks word by word and, at the end, chooses a split.

After Lewis et al., "Deal or No Deal? End-to-End Learning for Negotiation Dialogues" (EMNLP 2017), which thesis
section 3.2 attacks: a speaking module p_theta(x_t | x_0..t-1, g) (eq. 3.5) and a decision module
o* = argmax_o prod_i p'_theta(o_i | x_0..T, g) over all legal splits (eq. 3.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from advgames import rng
from advgames.dialogue.corpus import AGREED, DISCONNECT, NO_AGREEMENT, NUM_OUTPUTS
from advgames.dialogue.splits import ITEMS, MOST, NUM_SPLITS, legal_splits
from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import SettingError

__all__ = ["GRUWeights", "Negotiator", "NegotiatorSizes", "choice_logits", "gru_step", "gru_weights"]

_NUMBERS = 11  # counts and values are numbers from 0 to 10
_INIT = 0.1
_HEADS = 2 * len(ITEMS)


@dataclass(frozen=True)
class NegotiatorSizes:
    """Widths of the layers; the defaults are the published ones (1,631,277 parameters with 463 words)."""

    word: int = 256
    goal: int = 64
    hidden: int = 128
    select: int = 256
    attention: int = 256
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if min(self.word, self.goal, self.hidden, self.select, self.attention) < 1 or not 0 <= self.dropout < 1:
            raise SettingError(f"widths must be at least 1 and dropout in [0, 1), got {self}")


class Negotiator(nn.Module):
    """A negotiator of B dialogues at once; the hidden state is carried through what both sides say.

    Args:
        vocabulary: the words it knows.
        sizes: widths of the layers.
        seed: of the initial weights: uniform(-0.1, 0.1), biases 0, the selector's GRUs as torch begins them.
    """

    def __init__(self, vocabulary: Vocabulary, sizes: NegotiatorSizes = NegotiatorSizes(), seed: int = 0) -> None:
        super().__init__()
        self.vocabulary, self.sizes = vocabulary, sizes
        with torch.random.fork_rng(devices=[]):  # modules initialise themselves from the global generator first
            self._build()
        self._initialise(seed)

    def _build(self) -> None:
        s = self.sizes
        self.count_embedding = nn.Embedding(_NUMBERS, s.goal)
        self.value_embedding = nn.Embedding(_NUMBERS, s.goal)
        self.goal_layer = nn.Linear(len(ITEMS) * s.goal, s.goal)
        self.embedding = nn.Embedding(len(self.vocabulary), s.word)
        self.reader = nn.GRU(s.word + s.goal, s.hidden, batch_first=True)
        self.speak_layer = nn.Linear(s.hidden, s.word)
        self.select_forward = nn.GRU(s.hidden + s.word, s.select, batch_first=True)
        self.select_backward = nn.GRU(s.hidden + s.word, s.select, batch_first=True)
        self.attend_layer = nn.Linear(2 * s.select, s.attention)
        self.attend_out = nn.Linear(s.attention, 1)
        self.select_layer = nn.Linear(2 * s.select + s.goal, s.select)
        self.heads = nn.Linear(s.select, _HEADS * NUM_OUTPUTS)
        self.drop = nn.Dropout(s.dropout)

    def goal(self, contexts: Tensor) -> Tensor:
        """What is to be had, (B, goal), of contexts ``c0 v0 c1 v1 c2 v2`` (B, 6)."""
        parts = self.count_embedding(contexts[:, ::2]) * self.value_embedding(contexts[:, 1::2])
        return cast(Tensor, self.goal_layer(torch.tanh(parts.flatten(1))))

    def read(self, goal: Tensor, tokens: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(hidden state after every word (B, T, hidden), embedded words (B, T, word)) of tokens (B, T)."""
        words = self.embedding(tokens)
        inputs = torch.cat([words, goal[:, None].expand(-1, tokens.shape[1], -1)], -1)
        inputs = self.drop(inputs)
        states, _ = self.reader(inputs, None if hidden is None else hidden[None])
        return states, words

    def next_word(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of the word that follows hidden states (..., hidden): eq. 3.5."""
        return cast(Tensor, self.speak_layer(hidden)) @ self.embedding.weight.T

    def outputs(self, goal: Tensor, states: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Logits of the decision module, (B, 6, 18): own items, then the partner's, of what :meth:`read` returned.

        Only the first `lengths` (B,) words of each dialogue are read; they end before ``<selection>``.
        """
        inputs = self.drop(torch.cat([states, words], -1))
        forward, _ = self.select_forward(inputs)
        turned = _reversed(inputs, lengths)
        backward = _reversed(self.select_backward(turned)[0], lengths)
        seen = torch.cat([forward, backward], -1)
        weight = (
            self.attend_out(torch.tanh(self.attend_layer(seen)))
            .squeeze(-1)
            .masked_fill(_beyond(lengths, seen.shape[1]), -torch.inf)
        )
        summary = (weight.softmax(-1)[..., None] * seen).sum(1)
        last = torch.tanh(self.select_layer(torch.cat([summary, goal], -1)))
        return self.output_logits(last)

    def output_logits(self, last: Tensor) -> Tensor:
        """Logits (B, 6, 18) of the outputs from the decision module's last layer (B, select)."""
        logits: Tensor = self.heads(last)
        return logits.view(-1, _HEADS, NUM_OUTPUTS)

    def _initialise(self, seed: int) -> None:
        key = rng.seed_tensor([seed])
        with torch.no_grad():
            for name, weight in self.named_parameters():
                bound = self.sizes.select**-0.5 if name.startswith(("select_forward", "select_backward")) else _INIT
                zero = bound == _INIT and "bias" in name
                unit = rng.uniform(key, f"negotiator.{name}", 0, weight.shape)[0]
                weight.copy_(torch.zeros_like(unit) if zero else (2 * unit - 1) * bound)


def choice_logits(outputs: Tensor, counts: Tensor) -> Tensor:
    """Logits of every choice, (B, 127), of the decision module's (B, 6, 18) and counts (B, 3): eq. 3.6's product.

    Places 0 to 124 are the splits (-inf where there are not so many pieces), 125 is no deal, 126 the end of the
    line. A choice's logit is the sum of its six logits: own items, and what they leave to the partner.
    """
    pieces = torch.arange(MOST + 1, device=outputs.device)
    named = outputs[..., :AGREED].reshape(-1, _HEADS, len(ITEMS), MOST + 1)
    rest = (counts[..., None] - pieces).clamp(min=0)  # (B, 3, 5): what is left to the partner
    of_item = [
        named[:, item, item] + named[:, len(ITEMS) + item, item].gather(-1, rest[:, item]) for item in range(len(ITEMS))
    ]
    book, hat, ball = of_item
    sums = (book[:, :, None, None] + hat[:, None, :, None] + ball[:, None, None, :]).flatten(1)
    sums = sums.masked_fill(~legal_splits(counts), -torch.inf)
    tags = outputs[..., [NO_AGREEMENT, DISCONNECT]].sum(1)
    return torch.cat([sums[:, :NUM_SPLITS], tags], -1)


class GRUWeights(NamedTuple):
    """A GRU's weights by what they act on; its gates are reset, update and the new state.

    Attributes:
        inputs: of all three gates, (3 H, F).
        bias: of the input's share of the gates, (3 H,); that of the hidden state's share too where it is simply added.
        gates: of the hidden state, for reset and update, transposed (H, 2 H).
        new, new_bias: of the hidden state, for the new state, transposed (H, H), and (H,).
    """

    inputs: Tensor
    bias: Tensor
    gates: Tensor
    new: Tensor
    new_bias: Tensor


def gru_weights(gru: nn.GRU) -> GRUWeights:
    """The weights of a GRU of one layer and direction."""
    inputs, recurrent, bias, recurrent_bias = (cast(Tensor, part).detach() for part in gru.all_weights[0])
    size = recurrent.shape[1]
    added = torch.cat([recurrent_bias[: 2 * size], torch.zeros_like(recurrent_bias[2 * size :])])
    gates, new = recurrent[: 2 * size].T.contiguous(), recurrent[2 * size :].T.contiguous()
    return GRUWeights(inputs, bias + added, gates, new, recurrent_bias[2 * size :])


def gru_step(hidden: Tensor, inputs: Tensor, weights: GRUWeights) -> Tensor:
    """The next hidden state (B, H) of a GRU: from the last one and the input's share of the gates (B, 3 H).

    The gates' shares are added inside the products, and what can be is done in place: no gradients.
    """
    size = hidden.shape[-1]
    both = torch.addmm(inputs[..., : 2 * size], hidden, weights.gates).sigmoid_()
    new = torch.addmm(weights.new_bias, hidden, weights.new)
    new = new.mul_(both[:, :size]).add_(inputs[..., 2 * size :]).tanh_()
    return torch.lerp(new, hidden, both[:, size:])


def _beyond(lengths: Tensor, width: int) -> Tensor:
    """Which places (B, width) lie behind the end."""
    return torch.arange(width, device=lengths.device) >= lengths[:, None]


def _reversed(sequence: Tensor, lengths: Tensor) -> Tensor:
    """Sequences (B, T, F) read from their own ends; what lies behind an end stays there."""
    place = torch.arange(sequence.shape[1], device=lengths.device)
    index = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    return sequence.gather(1, index[..., None].expand_as(sequence))
