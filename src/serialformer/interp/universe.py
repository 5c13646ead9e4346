"""All parts of an architecture and all edges between them, as edge attribution names them."""

from __future__ import annotations

from serialformer.architecture import Architecture
from serialformer.constructions.edges import INPUT, LOGITS
from serialformer.interp.patch import Patch


def all_nodes(architecture: Architecture) -> list[str]:
    """The embedding, every head and every layer's hidden units, then the unembedding.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> all_nodes(compile(build.circuit()).transformer.architecture)
    ['input', 'a0.h0', 'a0.h1', 'm0', 'logits']
    """
    nodes = [INPUT]
    for layer in range(architecture.num_layers):
        nodes += [f"a{layer}.h{head}" for head in range(architecture.num_heads)]
        nodes.append(f"m{layer}")
    return [*nodes, LOGITS]


def all_edges(architecture: Architecture) -> list[Patch]:
    """Every edge, as a patch of it at all positions; heads are heard through query, key and value."""
    edges, sources = [], [INPUT]
    for layer in range(architecture.num_layers):
        heads = [f"a{layer}.h{head}" for head in range(architecture.num_heads)]
        edges += [Patch(source=source, target=head, via=via) for head in heads for via in "qkv" for source in sources]
        sources += heads
        edges += [Patch(source=source, target=f"m{layer}") for source in sources]
        sources.append(f"m{layer}")
    return [*edges, *(Patch(source=source, target=LOGITS) for source in sources)]
