"""A language model with its head: log-probabilities of continuations, and the most likely response."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae.errors import ModelError
from mosaic_sae.models.loading import Loading, load_causal_model
from mosaic_sae.models.locate import LocatedModel
from mosaic_sae.models.text import resolve_device

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Response:
    """What a model says on its own."""

    ids: list[int]
    """Without the token that ends it."""
    log_prob: float
    """Sum over its tokens, and over the one that ends it."""
    n_scored: int
    """How many tokens that sum has."""


class CausalModel:
    """Reads each question once: prompts are padded on the left, and choices go on from the keys and values kept of them."""

    def __init__(self, located: LocatedModel, tokenizer: Any, device: str, dtype: str, loading: Loading) -> None:
        """Load the model.

        Args:
            located: where the model is.
            tokenizer: of the model; says which tokens end a response.
            device: "auto", "cpu", "cuda", ...
            dtype: "float32", "bfloat16" or "float16".
            loading: how the weights are loaded.

        Raises:
            ModelError: the model cannot be loaded, or predicts no next token.
        """
        import torch

        self.name = located.name
        self._model, self.device = load_causal_model(located, loading, torch.device(resolve_device(device)), dtype)
        accepted = inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        # Keys and values were renamed in transformers 5.
        self._cache = "cache" if "cache" in accepted else "past_key_values"
        stated = self._model.generation_config.eos_token_id
        ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])}
        self._ends = frozenset(int(one) for one in ends if one is not None)

    def choice_log_probs(self, prompts: Sequence[list[int]], choices: Sequence[list[list[int]]]) -> list[list[float]]:
        """Sum of log P(token | prompt, tokens of the choice before it), for each choice of each prompt.

        The prompts are read in one batch. Their last logits give the first token of every choice; longer choices go on
        from the prompts' keys and values, each row's repeated for its choices.

        Args:
            prompts: token ids; at least one each.
            choices: of each prompt, the token ids of its choices; at least one each.

        Raises:
            ModelError: NaN in the logits, or memory is short.
        """
        import torch

        with torch.inference_mode(), _clear_about_memory(len(prompts)):
            mask, last, cache = self._read(prompts)
            firsts = last.log_softmax(-1)
            rows = [(row, choice) for row, of_row in enumerate(choices) for choice in of_row]
            owner = torch.tensor([row for row, _ in rows], device=self.device)
            totals = firsts[owner, torch.tensor([choice[0] for _, choice in rows], device=self.device)]
            longer = [number for number, (_, choice) in enumerate(rows) if len(choice) > 1]
            if longer:
                # The last token of a choice predicts nothing that is asked for.
                inputs = self._right_padded([rows[number][1][:-1] for number in longer])
                targets = self._right_padded([rows[number][1][1:] for number in longer])
                counted = self._right_padded([[1] * (len(rows[number][1]) - 1) for number in longer])
                which = torch.tensor(longer, device=self.device)
                cache.batch_select_indices(owner[which])
                before = mask[owner[which]]
                # Of what is padding only its own row's padding could see anything: attention is causal.
                seen = torch.cat([before, torch.ones_like(inputs)], dim=1)
                places = before.sum(-1, keepdim=True) + torch.arange(inputs.shape[1], device=self.device)
                output = self._run(inputs, seen, places, **{self._cache: cache})
                steps = output.logits.float().log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
                totals = totals.index_add(0, which, (steps * counted).sum(-1))
            values = _finite(totals, self.name)
        found: list[list[float]] = [[] for _ in prompts]
        for (row, _), value in zip(rows, values, strict=True):
            found[row].append(value)
        return found

    def respond(self, prompts: Sequence[list[int]], max_new_tokens: int, is_done: Callable[[list[int]], bool]) -> list[Response]:
        """Take the most likely token each time, until the model ends, ``is_done`` holds for the tokens so far, or the limit.

        Nothing of a model's generation settings takes part: no sampling, no penalty for repetition.

        Raises:
            ModelError: NaN in the logits, or memory is short.
        """
        import torch

        ids: list[list[int]] = [[] for _ in prompts]
        totals, scored, open_rows = [0.0] * len(prompts), [0] * len(prompts), set(range(len(prompts)))
        with torch.inference_mode(), _clear_about_memory(len(prompts)):
            mask, last, cache = self._read(prompts)
            for step in range(max_new_tokens):
                best = last.log_softmax(-1).max(-1)
                chosen, log_probs = best.indices.tolist(), _finite(best.values, self.name)
                for row in sorted(open_rows):
                    totals[row] += log_probs[row]
                    scored[row] += 1
                    if chosen[row] not in self._ends:
                        ids[row].append(chosen[row])
                    if chosen[row] in self._ends or is_done(ids[row]):
                        open_rows.discard(row)
                if not open_rows or step == max_new_tokens - 1:
                    break
                places = mask.sum(-1, keepdim=True)
                mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
                output = self._run(best.indices.unsqueeze(-1), mask, places, **{self._cache: cache})
                last = output.logits[:, -1].float()
        return [Response(*parts) for parts in zip(ids, totals, scored, strict=True)]

    def _read(self, prompts: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Return the mask [batch seq], the logits after each prompt, float32 [batch vocabulary], and keys and values."""
        import torch

        width = max(len(prompt) for prompt in prompts)
        ids, mask = np.zeros((2, len(prompts), width), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            # On the left, so that what follows stands next to the prompt's last token in every row.
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        seen = torch.from_numpy(mask).to(self.device)
        places = (seen.cumsum(-1) - 1).clamp(min=0)
        output = self._run(torch.from_numpy(ids).to(self.device), seen, places, **self._last_only)
        return seen, output.logits[:, -1].float(), getattr(output, self._cache)

    def _run(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, **more: Any) -> Any:
        return self._model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, **more)

    def _right_padded(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        import torch

        padded = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
        for line, row in zip(padded, rows, strict=True):
            line[: len(row)] = row
        return torch.from_numpy(padded).to(self.device)


@contextmanager
def _clear_about_memory(n_questions: int) -> Iterator[None]:
    """Turn running out of memory into a message that says what to change."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        # The CPU allocator raises a plain RuntimeError.
        if not (isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)):
            raise
        raise ModelError(
            f"Not enough memory for {n_questions} questions at once. Set batch_size lower; answers so far are kept."
        ) from error


def _finite(values: torch.Tensor, name: str) -> list[float]:
    found: list[float] = values.tolist()
    if not np.isfinite(found).all():
        raise ModelError(f"NaN or infinity in the log-probabilities of {name}. Set dtype: float32 and run again; answers so far are kept.")
    return found
