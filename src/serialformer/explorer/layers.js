"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const page = document.getElementById("page");
  if (content.format !== 1) {
    page.textContent = "This page is of another release than its content.";
    return;
  }
  const { depth, chain, inputs } = content;
  // Of a circuit positions have names and heads look where gates read; of a task both depend on the prompt.
  const isTask = depth.tokens !== undefined;
  const nameOf = (input, position) => isTask ? `${depth.tokens[input][position]} (position ${position})` : depth.names[position];
  const looksOf = (part, input) => isTask ? part.looks[input] : part.looks;
  // Colours say 1 and 0 where there is nothing else.
  const areBits = (tables) => tables.flat(2).every((text) => ["0", "1", "=", " ", ""].includes(text));
  const coloured = { depth: !isTask || areBits(depth.held.map((rows) => rows.slice(0, -1))), chain: !isTask || (chain !== null && areBits(chain.tokens)) };
  const chainNameOf = (input, position) => isTask ? `${chain.tokens[input][position]} (position ${position})` : chain.names[position];
  const state = { input: 0, layer: 0, column: null, token: 0, made: chain ? chain.prompt : 0, timer: null };

  const make = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  const grid = make("table", { "aria-label": "Layers by positions" });
  const strip = make("table", { "aria-label": "The chain" });
  const said = make("output", { id: "said" });
  const chainSaid = make("output", { id: "chain-said" });
  const slider = make("input", {
    type: "range", min: "0", max: String(depth.layers), value: "0", id: "layer", oninput: () => show({ layer: Number(slider.value) }),
  });
  const choice = make("select", { id: "input", onchange: () => show({ input: Number(choice.value) }) });
  inputs.forEach((text, number) => choice.append(make("option", { value: String(number) }, text || "no inputs")));
  const play = make("button", { type: "button", id: "play", onclick: () => toggle() }, "Play");
  const layerText = make("span", { id: "layer-text" });
  const madeSlider = chain && make("input", {
    type: "range", min: String(chain.prompt), max: String(chain.names.length), value: String(chain.prompt), id: "made",
    oninput: () => show({ made: Number(madeSlider.value) }),
  });
  const madeText = make("span", { id: "made-text" });

  const cells = [];
  const head = make("tr", {}, make("th", {}));
  const headButtons = [];
  depth.names.forEach((name, position) => {
    const button = make("button", { type: "button", "data-column": String(position), onclick: () => show({ column: position }) }, name);
    headButtons.push(button);
    head.append(make("th", { class: "top", scope: "col" }, button));
  });
  grid.append(head);
  for (let layer = 0; layer <= depth.layers; layer += 1) {
    const row = make("tr", {}, make("th", { scope: "row" }, layer === 0 ? "before" : `layer ${layer}`));
    cells.push(depth.names.map((_, position) => {
      const cell = make("td", { onclick: () => show({ column: position, layer: Math.max(layer, state.layer) }) });
      row.append(cell);
      return cell;
    }));
    grid.append(row);
  }
  const tokenCells = [];
  if (chain) {
    const names = make("tr", {});
    const row = make("tr", {});
    chain.names.forEach((name, position) => {
      names.append(make("th", { class: "top", scope: "col" }, make("button", { type: "button", onclick: () => show({ token: position }) }, name)));
      const cell = make("td", { onclick: () => show({ token: position }) });
      tokenCells.push(cell);
      row.append(cell);
    });
    strip.append(names, row);
  }

  const put = (cell, text, classes) => {
    cell.textContent = text;
    cell.className = Object.keys(classes).filter((name) => classes[name]).join(" ");
  };

  // Behind the last layer stands what positions write: "=" the first token of the answer, each of these the next.
  const show = (change) => {
    Object.assign(state, change);
    const { input, layer, column } = state;
    const looked = new Set();
    const lines = [];
    if (column !== null && layer > 0) {
      looksOf(depth, input)[layer - 1].forEach((positions, number) => {
        const target = positions[column];
        const value = depth.held[input][layer - 1][target];
        looked.add(target);
        lines.push(`head ${number + 1} reads ${nameOf(input, target)}${value.trim() ? ` = ${value}` : ""}`);
      });
    }
    if (isTask) headButtons.forEach((button, position) => { button.textContent = depth.tokens[input][position]; });
    for (let row = 0; row <= depth.layers; row += 1) {
      for (let position = 0; position < depth.names.length; position += 1) {
        const value = depth.held[input][row][position];
        const isColumn = depth.kinds[position] === "input" || depth.kinds[position] === "gate";
        const isBit = row === depth.layers || isTask ? value !== " " : isColumn;
        const seen = row <= layer && isBit;
        put(cells[row][position], isBit ? value : "", {
          seen, one: coloured.depth && value === "1", zero: coloured.depth && value === "0",
          wrong: seen && depth.wrong[input][row][position] === "1",
          chosen: row === layer && position === column,
          look: row === layer - 1 && looked.has(position),
        });
      }
    }
    const wrong = [...depth.wrong[input][layer]].filter((mark) => mark === "1").length;
    slider.value = String(layer);
    layerText.textContent = layer === 0 ? "before the first layer" : `after layer ${layer} of ${depth.layers}`;
    const ended = layer === depth.layers ? ` The last layer writes the answer: ${depth.answers[input][0]}.` : "";
    const begins = depth.held[input][0][column ?? 0];
    const more = lines.length ? lines.join("; ") : "its heads read nothing";
    said.textContent = `${layer === depth.layers ? "" : isTask ? `${wrong} values will still change.` : `${wrong} of the values in the columns are not right yet.`}${ended}${
      column === null ? "" : layer === 0 ? ` ${nameOf(input, column)} begins ${begins.trim() ? `as ${begins}` : "without a value"}.`
        : ` In layer ${layer}, ${nameOf(input, column)}: ${more}.`}`;
    if (!chain) return;
    const { token, made } = state;
    const from = token >= chain.prompt ? looksOf(chain, input).map((positions) => positions[token - 1]) : [];
    tokenCells.forEach((cell, position) => {
      const text = position < made ? chain.tokens[input][position] : "";
      put(cell, text, {
        seen: position < made, one: coloured.chain && text === "1", zero: coloured.chain && text === "0", chosen: position === token && from.length > 0, look: from.includes(position),
      });
    });
    madeSlider.value = String(made);
    madeText.textContent = `${made - chain.prompt} of ${chain.names.length - chain.prompt} tokens written`;
    chainSaid.textContent = (made === chain.names.length ? `The last tokens are the answer: ${chain.answers[input]}. ` : "") + (from.length
      ? `To write ${chainNameOf(input, token)}, ${from.map((source, number) => `head ${number + 1} reads ${chainNameOf(input, source)}${isTask ? "" : ` = ${chain.tokens[input][source]}`}`).join("; ")}.`
      : "");
  };

  const step = () => {
    const ends = state.layer >= depth.layers && (!chain || state.made >= chain.names.length);
    if (ends) return toggle();
    show({ layer: Math.min(state.layer + 1, depth.layers), made: chain ? Math.min(state.made + 1, chain.names.length) : 0, token: state.made });
  };
  const toggle = () => {
    if (state.timer !== null) {
      clearInterval(state.timer);
      state.timer = null;
    } else {
      if (state.layer >= depth.layers && (!chain || state.made >= chain.names.length)) show({ layer: 0, made: chain ? chain.prompt : 0 });
      state.timer = setInterval(step, 450);
    }
    play.textContent = state.timer === null ? "Play" : "Stop";
  };

  page.replaceChildren(
    make("h1", {}, chain ? `One ${isTask ? "task" : "circuit"}, twice: by depth and by a chain` : `A ${isTask ? "task" : "circuit"} by depth`),
    make("p", {}, `Without a chain the answer takes ${depth.layers} layers and one pass. ${isTask ? depth.about : "Each gate has a column, which in every layer fetches what its gate reads and puts the gate's value in place of its own."} `
      + (chain ? `With a chain it takes ${chain.layers === 1 ? "1 layer" : `${chain.layers} layers`} and ${isTask ? "up to " : ""}${chain.names.length - chain.prompt} tokens. ` : "")
      + "All values have been read from the weights."),
    make("div", { class: "controls" }, make("label", {}, isTask ? "Prompt" : "Input", choice), play),
    make("h2", {}, "By depth"),
    make("div", { class: "controls" }, make("label", {}, "Layer", slider), layerText),
    make("div", { class: "frame" }, grid),
    make("p", { class: "key" }, ...(coloured.depth ? [make("span", { class: "one" }, "1"), make("span", { class: "zero" }, "0"), "values; "] : []),
      make("span", { class: "wrong" }, "0"), isTask ? "will still change; " : "not the gate's value yet; ", make("span", { class: "look" }, "\u00a0"), "read by the chosen column in this layer"),
    said,
    ...(chain ? [
      make("h2", {}, "By a chain"),
      make("div", { class: "controls" }, make("label", {}, "Tokens", madeSlider), madeText),
      make("div", { class: "frame" }, strip),
      chainSaid,
    ] : []),
  );
  show({});
})();
