"""``mosaic name``: let a language model name the latents of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_RESULTS, Results

EXAMPLES = (
    ("mosaic name default --base-url http://localhost:8000/v1 --model qwen3-8b", "ask a model on this machine"),
    ("mosaic name default --base-url https://HOST/v1 --model NAME --most 100 --yes", "100 latents, without being asked"),
)


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a finished run.")],
    base_url: Annotated[str, typer.Option("--base-url", metavar="URL", help="OpenAI-compatible endpoint, up to and with its /v1.")],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Model that the endpoint knows.")],
    sae: Annotated[str | None, typer.Option("--sae", metavar="NAME", help="Name latents of this SAE only.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="Name at most N latents, the most used first.")] = 40,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Test each name on texts that it was not made from.")] = True,
    key_variable: Annotated[
        str | None, typer.Option("--key-variable", metavar="NAME", help="Environment variable with the key, if one is needed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the first request.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Let a language model name the latents of a run.

    It reads the texts on which they fire: parts of your texts are sent to the endpoint. What it takes is shown before it starts.
    Answers are kept, so that a second call asks only what is new. The names appear in the app, the report and 'mosaic show', with the
    model as their source and a score: the balanced accuracy with which the model, knowing the name alone, tells other texts in which
    the latent fires from texts in which it does not (0.5 = guessing).
    """
    from mosaic_sae.chat_endpoint import ChatEndpoint
    from mosaic_sae.cli.places import find_run
    from mosaic_sae.explain.cards import visible
    from mosaic_sae.explain.kept_answers import KeptAnswers
    from mosaic_sae.pipeline.ask_names import answers_folder, jobs_of, name_latents, total_cost

    folder = find_run(run, results)
    asked = KeptAnswers(ChatEndpoint(base_url, model, key_variable), answers_folder(folder.parent))
    jobs = jobs_of(folder, most, sae)
    cost = total_cost(jobs, asked, score)
    typer.echo(
        f"{len(jobs)} latents to name with {model} at {asked.host}: {cost.requests:,} requests, "
        f"about {cost.tokens_in:,} tokens in and {cost.tokens_out:,} out. Answers that are kept are not asked again."
    )
    if cost.requests and not yes:
        typer.confirm("Send parts of the texts there?", abort=True)
    found = name_latents(jobs, folder.parent, asked, score)
    for sae_name, names in found.items():
        typer.echo(f"\n{sae_name}")
        for latent, name in sorted(names.items(), key=lambda item: -(item[1]["score"] or 0)):
            figure = "  –  " if name["score"] is None else f"{name['score']:5.2f}"
            typer.echo(f"  {latent:>7}  {figure}  {visible(name['text'], 100)}")
    typer.echo(f"\nWritten to {folder.parent / 'names'}. 'mosaic app' shows them at once; the report, when the run is run again.")
