// The residual stream by named direction: which dimensions belong together, and how names of positions are read.

/** One signal: its label, and its dimensions; of a pair (v, -v) the first alone says it. */
export interface Direction {
  label: string;
  dimensions: number[];
  kind: "bit" | "name" | "block";
}

/** Groups such as `fetched[0]+`, `fetched[0]-` or `name.0`, `name.1`, ... by what stands before the last sign or dot. */
export function groupDirections(labels: string[], width: number): Direction[] {
  if (!labels.length) {
    return [{ label: `dimensions 0 to ${width - 1}`, dimensions: Array.from({ length: width }, (_, index) => index), kind: "block" }];
  }
  const groups = new Map<string, Direction>();
  labels.forEach((label, index) => {
    const pair = /^(.*)([+-])$/.exec(label);
    const part = /^(.*)\.(\d+)$/.exec(label);
    const stem = pair ? pair[1] : part ? part[1] : label;
    const group = groups.get(stem) ?? { label: stem, dimensions: [], kind: pair ? "bit" : "block" };
    group.dimensions.push(index);
    groups.set(stem, group);
  });
  return [...groups.values()];
}

const LEVELS = [-3, -1, 1, 3];

/**
 * The position that a block of digits names: the rank of the arrangement, in lexicographic order, among those of its
 * multiset (serialformer/targets/position_codes.py); -1 if it is no name.
 */
export function nameToPosition(digits: number[]): number {
  const outer = Math.floor(digits.length / 4);
  const left = [outer, digits.length / 2 - outer, digits.length / 2 - outer, outer];
  let arrangements = factorial(digits.length);
  for (const count of left) arrangements /= factorial(count);
  let rank = 0;
  let remaining = digits.length;
  for (const digit of digits) {
    const level = LEVELS.indexOf(digit);
    if (level < 0 || left[level] === 0) return -1;
    for (let lower = 0; lower < level; lower++) rank += (arrangements * left[lower]) / remaining;
    arrangements = (arrangements * left[level]) / remaining;
    left[level] -= 1;
    remaining -= 1;
  }
  return Math.round(rank);
}

function factorial(number: number): number {
  let product = 1;
  for (let factor = 2; factor <= number; factor++) product *= factor;
  return product;
}

/** A number in few characters: whole ones plain, others to two places. */
export function brief(value: number): string {
  const text = Number.isInteger(value) || Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
  const trimmed = text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  return (trimmed === "-0" ? "0" : trimmed).replace("-", "\u2212");
}

/** A share of attention in per cent, or as a power of ten where it is very small. */
export function percent(share: number): string {
  return share >= 1e-6 || share === 0 ? `${(100 * share).toFixed(share > 0.9995 || share < 0.01 ? 4 : 2)}\u00a0%` : share.toExponential(1).replace("-", "\u2212");
}
