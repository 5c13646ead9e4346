// The page: what it holds is read, the model begins to think, and it is shown.

import { render } from "preact";
import { readContent } from "./content";
import { Facts, Header, Help, listenToKeys, Transport } from "./controls";
import { Inspector } from "./inspector";
import { followAddress } from "./link";
import { Netlist } from "./netlist";
import { Selection } from "./selection";
import { openSession, type Session } from "./session";
import { Strip } from "./strip";
import { Task } from "./task";
import { Tour } from "./tour";
import { WhatIf } from "./what_if";
import { Words } from "./words";
import "./page.css";
import "./help.css";

function Page({ session }: { session: Session }) {
  const isCircuit = session.circuit !== null;
  return (
    <div class={isCircuit ? "is-circuit" : "is-task"}>
      <Header session={session} />
      {session.problem.value && <p class="problem" role="alert">{session.problem.value}</p>}
      <main>
        {isCircuit ? <Circuit session={session} /> : <Task session={session} />}
      </main>
      <footer>
        {isCircuit && <Facts facts={session.models[0].content.facts} origin={session.models[0].content.origin} />}
        <p>serialformer {session.content.version}{session.content.live ? ", computed by the machine that serves this page" : ", computed in this page"}</p>
      </footer>
      <Help />
      <Tour isCircuit={isCircuit} />
    </div>
  );
}

function Circuit({ session }: { session: Session }) {
  const model = session.models[0];
  return (
    <>
      <div class="bar">
        <Words session={session} />
        <Transport session={session} />
      </div>
      <Strip session={session} model={model} />
      <div class="columns">
        <div class="column is-wide">
          <Netlist session={session} />
          <Selection session={session} />
          <WhatIf session={session} model={model} />
        </div>
        <div class="column">
          <Inspector session={session} model={model} />
        </div>
      </div>
    </>
  );
}

async function start() {
  const page = document.getElementById("page")!;
  try {
    const session = await openSession(readContent());
    listenToKeys(session);
    followAddress(session);
    page.textContent = "";
    render(<Page session={session} />, page);
    page.dataset.ready = String(Math.round(performance.now()));
  } catch (error) {
    page.textContent = `This page cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
    throw error;
  }
}

void start();
