// Help: a "?" beside the heading of each panel, which explains it, and the terms that the page uses.

import { useSignal } from "@preact/signals";
import { useId, useRef } from "preact/hooks";

export const TERMS: Record<string, string> = {
  token: "One symbol that the model reads or writes. A circuit\u2019s tokens are 0, 1 and =.",
  chain: "The tokens that the model writes after the prompt, one at a time, each of which it reads again. For a circuit there is one for each gate, and the last ones are the answer.",
  gate: "A function of one to six bits, such as and, or, xor. Its truth table gives the result for each combination of its inputs.",
  position: "The place of a token in the sequence, counted from 0. The model reads the token at a position and writes the next one there.",
  layer: "One round of attention, in which a position fetches information from earlier ones, and one feed-forward part, which computes with it.",
  head: "One of several parts of the attention. At each position it distributes its attention over this and all earlier positions, 100 % in all, and brings the average of what it finds there.",
  "residual stream": "The list of numbers that a position carries through the layers. Every part of the model reads it, and adds its own result to it.",
  direction: "A group of numbers in the residual stream that stands for one thing, such as the token or a bit that a head has fetched.",
  "hidden unit": "A neuron of the feed-forward part. In a compiled circuit each fires for one combination of bits, and writes one token.",
  logit: "The score that the model gives to a token. The token with the highest score is written; the percentages are the softmax of the scores.",
};

const PANELS = {
  words: "The input words are the prompt of the model, bit by bit. Type a number, or click a bit. The answer is made of the last tokens that the model writes.",
  prompt: "The prompt is the question to the model. Choose one, or write your own. The model reads its own tokens when it is used, and the true ones in training.",
  strip: "All tokens from left to right: the prompt, then the chain. The arcs go from the position that writes to the positions that its heads look at; fainter arcs are older. Click a token to select it, double-click to go there.",
  circuit: "Each gate of the circuit stands to the right of the gates that it reads. A dark gate has the value 1. The coloured wires are those that the heads look along. A triangle marks an output; names come from the source file. SVG and PNG save the picture.",
  selected: "What is known about the token, gate or wire that you clicked: where it stands, what it reads, and which hidden unit wrote it.",
  whatIf: "Change one thing inside the model and see which later tokens change. For a circuit the page works out, from the truth tables alone, which must change, and compares.",
  now: "What the model does at the position that is looked at: it attends to earlier tokens, then it scores every token and writes the one with the highest score.",
  attention: "For each head the position that gets most of its attention, with its share, and what all other positions get together.",
  logits: "The score of each token as a number and as a bar, then its probability. The token with the highest score is written.",
  residual: "The numbers that this position carries, by direction: after the embedding, after the attention has added what the heads fetched, and after the feed-forward part has added its result.",
  units: "The hidden units with the largest values. In a compiled circuit exactly one fires at a gate: that of the combination of bits that were fetched.",
  heatMaps: "A square for each head. Row by row, from top to bottom, it shows how the position of that row distributes its attention over the columns: the more, the darker.",
};

/** A heading with a "?" that shows what the panel is. */
export function Heading({ title, help, level = 2, children }: { title: string; help: keyof typeof PANELS; level?: 2 | 3; children?: preact.ComponentChildren }) {
  const isOpen = useSignal(false);
  const id = useId();
  const Tag = level === 2 ? "h2" : "h3";
  return (
    <>
      <Tag>
        {title}{" "}
        <button
          type="button"
          class="hint"
          aria-expanded={isOpen.value}
          aria-controls={isOpen.value ? id : undefined}
          aria-label={`What is this: ${title}?`}
          data-help={help}
          onClick={() => (isOpen.value = !isOpen.value)}
        >
          ?
        </button>
      </Tag>
      {children}
      {isOpen.value && <p class="hint-text" id={id}>{PANELS[help]}</p>}
    </>
  );
}

/** A button that lists the terms of the page. */
export function TermsButton() {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" class="plain" aria-haspopup="dialog" onClick={() => dialog.current!.showModal()}>Terms</button>
      <dialog ref={dialog} aria-label="Terms" class="terms">
        <h2>Terms</h2>
        <dl>
          {Object.entries(TERMS).map(([term, text]) => (
            <div key={term}><dt>{term}</dt><dd>{text}</dd></div>
          ))}
        </dl>
        <button type="button" class="plain" onClick={() => dialog.current!.close()}>Close</button>
      </dialog>
    </>
  );
}
