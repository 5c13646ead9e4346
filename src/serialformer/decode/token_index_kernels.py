"""The compiled loop of the token index: a token is a few looks into tables."""

from __future__ import annotations

from serialformer.loops import loop

DONE, STRANGE_CONTEXT, NO_ONE_SOURCE, UNPROVEN = 0, 1, 2, 3


@loop(nogil=True, error_model="numpy")
def decode_placed(
    sequence,
    position,
    stop,
    prompt_length,
    is_deep,
    is_known,
    distances,
    is_second,
    sources,
    following,
    end_token,
    seen,
):
    """Writes tokens into a sequence from a position on.

    Args:
        sequence: the tokens; those from ``prompt_length`` on are written.
        position: the next one to read; those before it have been read.
        stop: one past the last to read.
        prompt_length: how many tokens are given.
        is_deep: whether later layers see what attention has read at the positions of the prompt, too.
        is_known: for each token whether the tables speak of it.
        distances: how far back the first things that each token reads stand.
        is_second: for each of these and each token whether the token there brings the second of two values.
        sources: for each token, and each thing that it reads, the two tokens of which one is read; -1 after the last.
            The first of them are those at ``distances``.
        following: for each token and each choice of its sources the token that follows, or -1.
        end_token: the token that ends the chain.
        seen: for each token how often it has been read; updated.

    Returns:
        The position come to, and why it stopped there.
    """
    while position < stop:
        token = sequence[position]
        if not is_known[token]:
            return position, STRANGE_CONTEXT
        seen[token] += 1
        writes = position >= prompt_length - 1
        if not writes and not is_deep:
            position += 1
            continue
        choice = 0
        if writes:
            for place in range(len(distances)):
                if distances[place] > position:
                    return position, NO_ONE_SOURCE
                if is_second[place, sequence[position - distances[place]]]:
                    choice |= 1 << place
        for place in range(len(distances), sources.shape[1]):
            first, second = sources[token, place, 0], sources[token, place, 1]
            if first < 0:
                break
            one = seen[first]
            other = seen[second]
            if second == first:
                other -= one
            if one + other != 1:
                return position, NO_ONE_SOURCE
            choice |= other << place
        if not writes:
            position += 1
            continue
        found = following[token, choice]
        if found < 0:
            return position, UNPROVEN
        sequence[position + 1] = found
        if found == end_token:
            return position + 1, DONE
        position += 1
    return position, DONE
