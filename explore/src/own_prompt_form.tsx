// The form for a prompt of one's own.

import { batch, useSignal } from "@preact/signals";
import { readOwnPrompt, SERVED } from "./own_prompt";
import type { Session } from "./session";
import "./own_prompt.css";

export function OwnPrompt({ session }: { session: Session }) {
  const { content } = session;
  const models = session.models.map((model) => model.content);
  const text = useSignal("");
  const inputs = useSignal("");
  const problem = useSignal("");
  const grammar = models[0].grammar!;
  const isCircuit = grammar.kind === "circuit";
  if (grammar.kind === "served" && !content.live) return <small class="own-prompt">A prompt of your own: {SERVED}.</small>;
  const take = async () => {
    try {
      const samples = await readOwnPrompt(models, text.peek(), inputs.peek(), content.live);
      problem.value = "";
      batch(() => {
        session.playing.value = false;
        models.forEach((model, index) => model.samples!.push(samples[index]));
        session.sample.value = models[0].samples!.length - 1;
      });
    } catch (error) {
      problem.value = (error as Error).message;
    }
  };
  return (
    <form
      class="own-prompt"
      aria-label="A prompt of your own"
      onSubmit={(event) => {
        event.preventDefault();
        void take();
      }}
    >
      <label>
        {isCircuit ? "your own circuit" : "your own"}
        {isCircuit ? (
          <textarea rows={2} spellcheck={false} placeholder="TRUE NA NA 1 NOT 1 NA 2, or INPUT(a) OUTPUT(y) y = NOT(a), each on its own line, or AIGER (aag ...)" value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
        ) : (
          <input type="text" autocomplete="off" spellcheck={false} placeholder={grammar.form} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
        )}
      </label>
      {isCircuit && (
        <label>
          inputs
          <input type="text" autocomplete="off" spellcheck={false} placeholder="a=1 b=0" size={10} value={inputs.value} onInput={(event) => (inputs.value = event.currentTarget.value)} />
        </label>
      )}
      <button type="submit" class="plain">Ask</button>
      {problem.value && <span class="problem" role="alert">{problem.value}</span>}
    </form>
  );
}
