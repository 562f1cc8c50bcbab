"""A decision tree as indented rules in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mosaic_sae.explain.cards import card_of, summary
from mosaic_sae.explain.questions import answers, question, short_question
from mosaic_sae.report.names import present


@dataclass(frozen=True)
class Rule:
    """One node of a tree, in the order of reading: a node, its left part, its right part."""

    node: int
    depth: int
    came: str
    """The answer that leads here from the node above: "", "no", "yes", "no (≤ 0.5)", "yes (> 0.5)"."""
    latent: int | None
    """What the node asks; None at a leaf."""
    question: str
    short: str
    """The question in a few letters, for a drawing."""
    fires_on: str
    n: int
    counts: list[float]
    label: str

    @property
    def leaf(self) -> bool:
        """Whether the node decides."""
        return self.latent is None


def tree_rules(point: Mapping[str, Any], evidence: Mapping[str, Any] | None = None) -> list[Rule]:
    """Walk the tree of a point depth first; empty when the point has none."""
    tree = point.get("tree")
    if not tree or not tree["nodes"]:
        return []
    nodes = {node["id"]: node for node in tree["nodes"]}
    pooling, threshold = point["key"].get("pooling") or "value", point["key"].get("binarise")
    threshold = threshold if present(threshold) else None
    rules: list[Rule] = []
    waiting: list[tuple[int, int, str]] = [(tree["nodes"][0]["id"], 0, "")]
    while waiting and len(rules) < len(nodes):  # the bound holds even for a damaged file whose nodes form a ring
        node_id, depth, came = waiting.pop()
        node = nodes[node_id]
        latent = node.get("latent")
        asked = "" if latent is None else question(latent, pooling, threshold, node["threshold"])
        short = "" if latent is None else short_question(latent, threshold, node["threshold"])
        fires_on = "" if latent is None else summary(card_of(evidence, latent), 3)
        counts = list(node["counts"])
        rules.append(Rule(node_id, depth, came, latent, asked, short, fires_on, int(node["n"]), counts, str(node["class"])))
        if latent is not None:
            no, yes = answers(threshold, node["threshold"])
            waiting.append((node["right"], depth + 1, yes))
            waiting.append((node["left"], depth + 1, no))
    return rules


def path_to(rules: Sequence[Rule], node: int) -> list[Rule]:
    """Return the rules from the root to a node, both included; empty when there is no such node."""
    path: list[Rule] = []
    for rule in rules:
        path = [*path[: rule.depth], rule]
        if rule.node == node:
            return path
    return []
