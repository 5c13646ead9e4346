// Play, step, scrub and speed; light and dark; and the keys that do the same.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { shorten } from "./circuit";
import { TermsButton } from "./help";
import { goTo, SPEEDS, step, togglePlaying, type Session } from "./session";
import { isDark, theme } from "./theme";
import { TourButton } from "./tour";

const helpIsOpen = signal(false);

export function Header({ session }: { session: Session }) {
  const { content } = session;
  return (
    <header>
      <div class="title">
        <h1>{shorten(content.title, 60)}</h1>
        <p>
          {session.circuit ? `a circuit, compiled into ${content.models[0].architecture.family}` : "a transformer"}, thinking{" "}
          {content.live ? "on the machine that serves this page" : "in this page"}
        </p>
      </div>
      <div class="header-buttons">
        <TourButton />
        <TermsButton />
        <button type="button" class="plain" aria-haspopup="dialog" onClick={() => (helpIsOpen.value = true)}>Keys</button>
        <button type="button" class="plain" onClick={() => (theme.value = isDark() ? "light" : "dark")}>
          {isDark() ? "Light" : "Dark"}
        </button>
      </div>
    </header>
  );
}

export function Facts({ facts, origin }: { facts: Record<string, string>; origin: string }) {
  return (
    <ul class="facts">
      <li><b>{origin}</b></li>
      {Object.entries(facts).map(([name, value]) => (
        <li key={name}>{name} <b>{shorten(value, 48)}</b></li>
      ))}
    </ul>
  );
}

export function Transport({ session }: { session: Session }) {
  const { position, first, last, playing, speed } = session;
  const total = last.value - first.value;
  const at = position.value - first.value;
  return (
    <section class="transport" aria-label="Player">
      <div class="buttons">
        <button type="button" aria-label="First token" title="First token (Home)" onClick={() => step(session, -Infinity)}><Icon d="M4 3v10M13 3 6.500 8 13 13Z" /></button>
        <button type="button" aria-label="Step back" title="Step back (left arrow)" onClick={() => step(session, -1)}><Icon d="M11.500 3 5 8 11.500 13Z" /></button>
        <button type="button" class="play" aria-label={playing.value ? "Pause" : "Play"} title="Play or pause (space)" onClick={() => togglePlaying(session)}>
          <Icon d={playing.value ? "M4.500 3h2.500v10H4.500ZM9.500 3H12v10H9.500Z" : "M4.500 2.500 13 8 4.500 13.500Z"} />
        </button>
        <button type="button" aria-label="Step forward" title="Step forward (right arrow)" onClick={() => step(session, 1)}><Icon d="M4.500 3 11 8 4.500 13Z" /></button>
        <button type="button" aria-label="Last token" title="Last token (End)" onClick={() => step(session, Infinity)}><Icon d="M12 3v10M3 3 9.500 8 3 13Z" /></button>
      </div>
      <input
        type="range"
        class="scrub"
        aria-label="Token"
        aria-valuetext={`token ${at} of ${total}`}
        min={first.value}
        max={last.value}
        value={position.value}
        onInput={(event) => {
          playing.value = false;
          goTo(session, Number(event.currentTarget.value));
        }}
      />
      <output class="counter">{at.toLocaleString("en")} <small>of {total.toLocaleString("en")}</small></output>
      <label class="speed">
        <span class="only-wide">speed</span>
        <select aria-label="Tokens a second" value={speed.value} onChange={(event) => (speed.value = Number(event.currentTarget.value))}>
          {SPEEDS.map((one) => <option key={one} value={one}>{one} / s</option>)}
        </select>
      </label>
    </section>
  );
}

function Icon({ d }: { d: string }) {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={d} fill="currentColor" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" />
    </svg>
  );
}

const KEYS: [string, string][] = [
  ["Space", "play or pause"],
  ["\u2190 \u2192", "one token back or forward; with Shift ten"],
  ["Home End", "first and last token"],
  ["\u2191 \u2193", "faster and slower"],
  ["/", "find a wire or a token"],
  ["Esc", "select nothing"],
  ["?", "these keys"],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = helpIsOpen.value;
  useEffect(() => {
    if (isOpen && !dialog.current!.open) dialog.current!.showModal();
  }, [isOpen]);
  return (
    <dialog ref={dialog} aria-label="Keys" onClose={() => (helpIsOpen.value = false)}>
      <h2>Keys</h2>
      <dl class="keys">
        {KEYS.map(([key, what]) => (
          <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>
        ))}
      </dl>
      <p>Everything shown is computed from the checkpoint's weights, in float64.</p>
      <button type="button" class="plain" onClick={() => dialog.current!.close()}>Close</button>
    </dialog>
  );
}

/** Keys of the whole page; what has a use for a key itself keeps it. */
export function listenToKeys(session: Session) {
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || helpIsOpen.peek()) return;
    const target = event.target as HTMLElement;
    const isTyping = target.matches("input[type=text], input[type=search], input[type=number], textarea, select");
    if (isTyping) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const jump = event.shiftKey ? 10 : 1;
    const isButton = target.matches("button, summary");
    const { speed } = session;
    switch (event.key) {
      case " ":
        if (isButton) return;
        togglePlaying(session);
        break;
      case "ArrowLeft":
        step(session, -jump);
        break;
      case "ArrowRight":
        step(session, jump);
        break;
      case "ArrowUp":
      case "ArrowDown": {
        // A list that scrolls keeps them.
        if (target.closest(".scroll")) return;
        const place = SPEEDS.indexOf(speed.peek()) + (event.key === "ArrowUp" ? 1 : -1);
        speed.value = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, place))];
        break;
      }
      case "Home":
        step(session, -Infinity);
        break;
      case "End":
        step(session, Infinity);
        break;
      case "/":
        document.getElementById("search")?.focus();
        break;
      case "?":
        helpIsOpen.value = true;
        break;
      case "Escape":
        session.selected.value = -1;
        break;
      default:
        return;
    }
    event.preventDefault();
  });
}
