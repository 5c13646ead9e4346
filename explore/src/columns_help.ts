// Help on the page of a circuit without a chain: a "?" beside each heading, which explains the part below it.

const TEXTS: Record<string, string> = {
  "By depth": "A column is a position: an input bit, a gate, or a token of the answer. A row is a layer. In every layer each column\u2019s heads (parts of the attention, each of which looks at one earlier position) fetch the values that its gate reads, and the feed-forward part writes the gate\u2019s value into the column. A gate is right from the layer of its level on, when what it reads is right. Click a column to see what its heads read.",
  "By a chain": "The same circuit in one layer: the model writes one token for each gate, and reads these tokens again. The last ones are the answer. Click a token to see what was read to write it.",
  "What if?": "An ablated head has its output replaced, by zeros or by its mean over the positions that write. A patch takes a head\u2019s output, or the residual stream (all numbers that a position carries), at one position from a run on the second input. \u201cBy the circuit\u201d follows from the truth tables alone: \u201cany\u201d means that they leave the token open.",
};

const OF_TASKS: Record<string, string> = {
  "By depth": "A column is a position, a row is a layer. In every layer each position\u2019s heads (parts of the attention, each of which looks at one earlier position) fetch values from other positions, and the feed-forward part writes a new value. The grid shows the value that each position holds. Click a column to see what its heads read.",
  "By a chain": "The same problem by a model that writes intermediate results as tokens, and reads them again. The last ones are the answer. Click a token to see what was read to write it.",
  "What if?": TEXTS["What if?"].replace(/ \u201cBy.*/, ""),
};

/** Puts the "?" beside the headings of a page that has been drawn. */
export function explainHeadings(page: HTMLElement, isTask: boolean) {
  for (const heading of page.querySelectorAll("h2")) {
    const title = heading.textContent!;
    const text = (isTask ? OF_TASKS : TEXTS)[title];
    if (!text) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "hint";
    button.textContent = "?";
    button.setAttribute("aria-label", `What is this: ${title}`);
    button.setAttribute("aria-expanded", "false");
    const shown = document.createElement("p");
    shown.className = "hint-text";
    shown.textContent = text;
    shown.hidden = true;
    button.addEventListener("click", () => {
      shown.hidden = !shown.hidden;
      button.setAttribute("aria-expanded", String(!shown.hidden));
    });
    heading.append(" ", button);
    heading.after(shown);
  }
}
