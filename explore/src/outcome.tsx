// What came of an intervention: which tokens and outputs change, and what the circuit says must change.

import { shorten, wordToNumber, type Circuit } from "./circuit";
import type { ModelState, Session } from "./session";
import { describePosition } from "./strip";
import { UNKNOWN } from "./truth";

const MOST_ROWS = 40;

export interface Result {
  /** What was done. */
  words: string;
  /** The first position that writes. */
  first: number;
  /** For each position the token that it writes: without the intervention, with it, and by the circuit. */
  clean: Int32Array;
  said: Int32Array;
  expected: Int32Array | null;
  /** The tokens that were read. */
  tokens: Int32Array;
}

/** How many tokens did what, and the first position at which the model and the circuit differ, or -1. */
export function compare({ first, clean, said, expected }: Result) {
  const found = { changed: 0, mustChange: 0, mustStay: 0, open: 0, differs: -1, shown: [] as number[] };
  for (let position = first; position < said.length; position++) {
    const isChanged = said[position] !== clean[position];
    const wanted = expected ? expected[position] : UNKNOWN;
    if (isChanged) found.changed++;
    if (wanted === UNKNOWN) found.open++;
    else if (wanted === clean[position]) found.mustStay++;
    else found.mustChange++;
    const isWrong = wanted !== UNKNOWN && wanted !== said[position];
    if (isWrong && found.differs < 0) found.differs = position;
    if (isChanged || isWrong) found.shown.push(position);
  }
  return found;
}

export function Outcome({ session, model, result }: { session: Session; model: ModelState; result: Result }) {
  const { vocabulary } = model.content.architecture;
  const { circuit } = session;
  const found = compare(result);
  const total = result.said.length - result.first;
  const say = (token: number) => (token === UNKNOWN ? "any" : shorten(vocabulary[token], 10));
  return (
    <div
      class="outcome"
      data-written={Array.from(result.said.subarray(result.first)).join(" ")}
      data-expected={result.expected && Array.from(result.expected.subarray(result.first)).join(" ")}
    >
      <p>{result.words} The model reads its own tokens from there on.</p>
      <p>
        <b>{found.changed ? `${found.changed} of ${total} tokens change` : "No token changes"}</b>
        {circuit ? <Outputs circuit={circuit} result={result} /> : <Answer model={model} session={session} result={result} />}
      </p>
      {result.expected ? (
        found.differs < 0 ? (
          <p class="verdict is-right" data-verdict="agrees">
            {"\u2713"} As the circuit says: {found.mustChange} must change, {found.mustStay} must stay
            {found.open ? `, ${found.open} are undetermined` : ""}.
          </p>
        ) : (
          <p class="problem" data-verdict="differs">
            {"\u2717"} Position {found.differs} writes {say(result.said[found.differs])}; the circuit says {say(result.expected[found.differs])}.
          </p>
        )
      ) : (
        <p class="none">
          The page has no truth about the parts of this model, so it shows only what changes.
          {model.content.origin === "constructed" && " Python knows what a constructed model must do: serialformer.interp.interventions."}
        </p>
      )}
      {found.shown.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Tokens that change">
          <table>
            <thead>
              <tr>
                <th scope="col">token</th>
                <th scope="col">before</th>
                <th scope="col">now</th>
                {result.expected && <th scope="col">by the circuit</th>}
              </tr>
            </thead>
            <tbody>
              {found.shown.slice(0, MOST_ROWS).map((position) => (
                <tr key={position} data-changed={position}>
                  <th scope="row">
                    <button type="button" class="link" onClick={() => (session.selected.value = position + 1)}>
                      {circuit ? shorten(describePosition(circuit, position + 1), 24) : `position ${position + 1}`}
                    </button>
                  </th>
                  <td>{say(result.clean[position])}</td>
                  <td><b>{say(result.said[position])}</b></td>
                  {result.expected && <td>{say(result.expected[position])}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.shown.length > MOST_ROWS && <p class="none">and {found.shown.length - MOST_ROWS} more</p>}
    </div>
  );
}

/** The output words that change. */
function Outputs({ circuit, result }: { circuit: Circuit; result: Result }) {
  const start = circuit.numInputs + circuit.chainWire.length - circuit.outputWires.length;
  const read = (tokens: Int32Array, bits: number[]) => {
    const made = tokens.subarray(start, start + circuit.outputWires.length);
    return bits.some((place) => place >= 0 && made[place] > 1) ? "not a number" : wordToNumber({ name: "", bits }, made).toString();
  };
  const changed = circuit.outputs
    .map((word) => ({ name: word.name, before: read(result.clean, word.bits), now: read(result.said, word.bits) }))
    .filter(({ before, now }) => before !== now);
  if (!changed.length) return <>; the outputs stay.</>;
  return (
    <>
      ; {changed.slice(0, 8).map(({ name, before, now }, index) => (
        <span key={index} class="output-change">{shorten(name, 18)} = {before} becomes <b>{now}</b>{index + 1 < Math.min(8, changed.length) ? ", " : "."}</span>
      ))}
    </>
  );
}

/** The answer of a task, before and now. */
function Answer({ session, model, result }: { session: Session; model: ModelState; result: Result }) {
  const { answer } = model.content.samples![session.sample.value];
  const { vocabulary, separator } = model.content.architecture;
  const read = (tokens: Int32Array) => shorten(answer.map((place) => vocabulary[tokens[place]]).join(separator), 40);
  const before = read(result.clean);
  const now = read(result.said);
  return before === now ? <>; the answer stays {now}.</> : <>; the answer {before} becomes <b>{now}</b>.</>;
}
