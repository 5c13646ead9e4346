// Light and dark, and the colours that canvases are drawn in. Colours are told apart by lightness too, and nothing is
// said by colour alone: bits are filled or hollow, heads have numbers and dashes of their own.

import { effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

export const theme = signal<Theme>("auto");

const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener("change", (event) => {
  systemIsDark.value = event.matches;
});

export function isDark(): boolean {
  return theme.value === "auto" ? systemIsDark.value : theme.value === "dark";
}

/** After Okabe and Ito, whose colours stay apart for the colour-blind; a lighter set for the dark. */
const LIGHT_HEADS = ["#0067a8", "#c44a00", "#007a5a", "#a04a80", "#7a6200", "#1c7ca8"];
const DARK_HEADS = ["#5bb8f0", "#ff8f3f", "#2fd3a0", "#e79bc7", "#e8d24a", "#9ad7ff"];

export const HEAD_DASHES: number[][] = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 4], [1, 2]];

export function headColour(head: number): string {
  const colours = isDark() ? DARK_HEADS : LIGHT_HEADS;
  return colours[head % colours.length];
}

export interface Palette {
  ink: string;
  paper: string;
  muted: string;
  faint: string;
  wire: string;
  focus: string;
  chosen: string;
  wrong: string;
  positive: [number, number, number];
  negative: [number, number, number];
  ground: [number, number, number];
}

const LIGHT: Palette = {
  ink: "#18212f",
  paper: "#ffffff",
  muted: "#5b6677",
  faint: "#dfe4ec",
  wire: "#9aa6b8",
  focus: "#ffd23f",
  chosen: "#7b2cbf",
  wrong: "#b00020",
  positive: [0, 88, 160],
  negative: [196, 74, 0],
  ground: [244, 246, 250],
};

const DARK: Palette = {
  ink: "#eef2f8",
  paper: "#141b27",
  muted: "#9aa8bd",
  faint: "#263144",
  wire: "#5d6b81",
  focus: "#ffd23f",
  chosen: "#c79bff",
  wrong: "#ff7b8a",
  positive: [91, 184, 240],
  negative: [255, 143, 63],
  ground: [30, 39, 54],
};

export function palette(): Palette {
  return isDark() ? DARK : LIGHT;
}

/** A colour for a number: the more of it, the further from the ground. */
export function shade(value: number, most: number): string {
  return `rgb(${mix(value, most).join(" ")})`;
}

/** Black or white, whichever stands out more from the shade of a number; one of them does by 4.58 to 1. */
export function inkOn(value: number, most: number): string {
  const [red, green, blue] = mix(value, most).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) ? "#000000" : "#ffffff";
}

function mix(value: number, most: number): number[] {
  const { positive, negative, ground } = palette();
  const share = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  const end = value < 0 ? negative : positive;
  return ground.map((from, index) => Math.round(from + (end[index] - from) * share));
}

effect(() => {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
});
