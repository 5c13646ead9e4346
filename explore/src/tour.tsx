// "What am I looking at?": a tour of six steps, each of which marks a part of the page and explains it.

import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";

interface TourStep {
  /** The part of the page that the step is about. */
  part: string;
  title: string;
  text: string;
}

const CIRCUIT_TOUR: TourStep[] = [
  {
    part: ".words",
    title: "The question",
    text: "This transformer computes a Boolean circuit. The input words become bits, and the bits and an equals sign are its prompt. Change a number or click a bit: the model starts again. Next to them is the answer it wrote.",
  },
  {
    part: ".transport",
    title: "One token at a time",
    text: "The model writes one token for each gate of the circuit. These tokens are its chain of thought. Play them, step through them, or drag the slider.",
  },
  {
    part: ".strip",
    title: "Where the heads look",
    text: "All tokens stand in one row: first the prompt, then the chain. Before it writes a token, each attention head looks back at one earlier token. The arcs show where; each fetches one input of the gate.",
  },
  {
    part: "[aria-label='Circuit']",
    title: "The circuit",
    text: "These are the gates, from the inputs on the left to the outputs on the right. Gates are coloured as the model writes them. Click a gate to see its truth table and its neighbours.",
  },
  {
    part: ".now",
    title: "What happens at this token",
    text: "The sentence names the gate. Below are the position that each head attends to, with its share of attention, and the logits: a score for each token. The token with the highest score is written.",
  },
  {
    part: ".residual, [aria-label='Residual stream']",
    title: "The numbers inside",
    text: "The residual stream is what the model remembers at this position: the token, the names of the positions to read, the bits that the heads fetched, and the truth table. Every number is computed from the weights in this page.",
  },
];

const TASK_TOUR: TourStep[] = [
  {
    part: ".words",
    title: "The question",
    text: "This transformer solves a task. Choose a prompt. The model can read its own tokens, as when it is used, or the true tokens, as in training.",
  },
  {
    part: ".transport",
    title: "One token at a time",
    text: "Play the tokens that the model writes, step through them, or drag the slider. With two models side by side, both are at the same position.",
  },
  {
    part: ".side-head",
    title: "Right or wrong",
    text: "The task knows the true tokens, so the page can count mistakes. Click the count to go to the first one.",
  },
  {
    part: ".strip",
    title: "Where the heads look",
    text: "All tokens stand in one row. The arcs show the earlier tokens that the attention heads look at before the next token is written.",
  },
  {
    part: "[aria-label='Attention of every head']",
    title: "The whole attention",
    text: "Each square shows one head: a row for each position, a column for each earlier position, and darker cells for more attention. A constructed model has one dark cell per row; a trained model spreads its attention.",
  },
  {
    part: ".now",
    title: "What happens at this token",
    text: "Here are the attention of each head and the logits, a score for each token. The token with the highest score is written.",
  },
];

const step = signal(-1);

export function TourButton() {
  return (
    <button type="button" class="plain" aria-haspopup="dialog" onClick={() => (step.value = 0)}>
      What am I looking at?
    </button>
  );
}

export function Tour({ isCircuit }: { isCircuit: boolean }) {
  const steps = isCircuit ? CIRCUIT_TOUR : TASK_TOUR;
  const at = step.value;
  useLayoutEffect(() => {
    // On the window, so that Escape works wherever the focus is.
    const close = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || step.peek() < 0) return;
      step.value = -1;
      event.stopPropagation();
    };
    window.addEventListener("keydown", close, { capture: true });
    return () => window.removeEventListener("keydown", close, { capture: true });
  }, []);
  useLayoutEffect(() => {
    if (at < 0) return;
    const part = document.querySelector(steps[at].part);
    part?.classList.add("is-toured");
    part?.scrollIntoView({ block: "center" });
    document.getElementById("tour-next")?.focus({ preventScroll: true });
    return () => part?.classList.remove("is-toured");
  }, [at]);
  if (at < 0) return null;
  const isLast = at === steps.length - 1;
  return (
    <section class="tour" role="dialog" aria-label="What am I looking at?">
      <h2>
        {at + 1} of {steps.length}: {steps[at].title}
      </h2>
      <p aria-live="polite">{steps[at].text}</p>
      <div class="tour-buttons">
        <button type="button" class="plain" onClick={() => (step.value = -1)}>Close</button>
        <button type="button" class="plain" disabled={at === 0} onClick={() => (step.value = at - 1)}>Back</button>
        <button type="button" class="plain" id="tour-next" onClick={() => (step.value = isLast ? -1 : at + 1)}>
          {isLast ? "Done" : "Next"}
        </button>
      </div>
    </section>
  );
}
