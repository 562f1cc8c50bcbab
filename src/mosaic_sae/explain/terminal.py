"""An explanation on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_sae.explain.cards import visible
from mosaic_sae.explain.display import signed
from mosaic_sae.explain.explanation import Explanation

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

SHOWN = 10
# Colours say for and against once more; the signs and the underline say it without them.
_FOR, _AGAINST = "blue", "dark_orange3"


def print_explanation(explanation: Explanation, console: Console, shown: int = SHOWN) -> None:
    """Print the text with its strongest tokens marked, the path through a tree, and the latents with what they add.

    Args:
        explanation: what to print.
        console: where to.
        shown: most latents; the rest is summed up.
    """
    from rich.text import Text

    right = "right" if explanation.predicted == explanation.label else f"wrong: it is {visible(explanation.label, 60)}"
    chances = ", ".join(f"{visible(name, 60)} {value:.3f}" for name, value in explanation.probabilities.items())
    console.print(
        Text.assemble("Predicted ", (visible(explanation.predicted, 60), "bold"), f", which is {right}. Probabilities: {chances}")
    )
    if not explanation.in_test:
        console.print(Text("It is no test example: the classifier may have learned from it.", style="yellow"))
    console.print(_tokens(explanation))
    for step in explanation.path:
        share = f"{100 * step.shares[explanation.about]:.0f} % {visible(explanation.about, 60)} among {step.n:,} training examples"
        if step.latent is None:
            console.print(Text(f"  Decision: {share}", style="bold"))
        else:
            asked = Text.assemble(f"  {share}. {step.question} ", (step.answer, "bold"), (f"  {visible(step.words, 80)}", "dim"))
            console.print(asked)
    console.print(_latents(explanation, shown))


def _tokens(explanation: Explanation) -> Text:
    from rich.text import Text

    largest = max((abs(token.contribution) for token in explanation.tokens), default=0.0)
    line = Text()
    for token in explanation.tokens:
        style = "dim"
        if token.counts:
            strong = largest > 0 and abs(token.contribution) > largest / 4
            weak = largest > 0 and abs(token.contribution) > largest / 20
            colour = _FOR if token.contribution > 0 else _AGAINST
            style = f"bold {colour}" if strong else colour if weak else ""
            style += " underline" if style and token.contribution < 0 else ""
        line.append(visible(token.piece), style)
    return line


def _latents(explanation: Explanation, shown: int) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    about = visible(explanation.about, 40)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"+ speaks for {about}, − against it", title_justify="left", title_style="dim")
    table.add_column("latent", justify="right")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("adds", justify="right", no_wrap=True)
    table.add_column(Text(f"P({about}) without"), justify="right")
    table.add_column("what it fires on", overflow="fold")
    for part in explanation.latents[:shown]:
        style = _FOR if part.contribution > 0 else _AGAINST
        adds = Text(signed(part.contribution), style=style)
        without = f"{part.without[explanation.about]:.3f}"
        table.add_row(str(part.latent), f"{part.value:.3g}", adds, without, Text(visible(part.words, 100)))
    rest = explanation.latents[shown:]
    n = len(rest) + int(explanation.others["n"])
    if n:
        total = sum(part.contribution for part in rest) + explanation.others["contribution"]
        table.add_row("", "", signed(total), "", f"{n:,} more latents")
    logistic = explanation.kind == "logistic"
    table.add_row("", "", signed(explanation.bias), "", "bias" if logistic else "share among all training examples")
    what = Text(f"{'logit' if logistic else 'share'} of {about}")
    table.add_row("", "", Text(signed(explanation.decision), style="bold"), "", what)
    return table
