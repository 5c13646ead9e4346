// A pen that draws into an SVG what the canvas is drawn with, so that a picture can be saved as it is shown.

const NAMESPACE = "http://www.w3.org/2000/svg";

/** What pictures are drawn with: a canvas, or an SVG. */
export type Pen = Pick<
  CanvasRenderingContext2D,
  | "fillStyle"
  | "strokeStyle"
  | "lineWidth"
  | "globalAlpha"
  | "font"
  | "textAlign"
  | "textBaseline"
  | "setLineDash"
  | "beginPath"
  | "moveTo"
  | "lineTo"
  | "bezierCurveTo"
  | "closePath"
  | "roundRect"
  | "fillRect"
  | "fill"
  | "stroke"
  | "fillText"
  | "strokeText"
  | "createRadialGradient"
>;

const place = (value: number) => String(Math.round(100 * value) / 100);

class Gradient implements CanvasGradient {
  constructor(readonly element: SVGElement) {}
  addColorStop(offset: number, colour: string) {
    const [, rgb, alpha] = /^rgba\((.*), ([\d.]+)\)$/.exec(colour) ?? ["", "", ""];
    const stop = document.createElementNS(NAMESPACE, "stop");
    stop.setAttribute("offset", String(offset));
    stop.setAttribute("stop-color", rgb ? `rgb(${rgb})` : colour);
    stop.setAttribute("stop-opacity", alpha || "1");
    this.element.append(stop);
  }
}

export class SvgPen implements Pen {
  fillStyle: Pen["fillStyle"] = "#000000";
  strokeStyle: Pen["strokeStyle"] = "#000000";
  lineWidth = 1;
  globalAlpha = 1;
  font = "10px sans-serif";
  textAlign: CanvasTextAlign = "start";
  textBaseline: CanvasTextBaseline = "alphabetic";
  private readonly root = document.createElementNS(NAMESPACE, "svg");
  private dashes: number[] = [];
  private path = "";

  constructor(width: number, height: number, ground: string) {
    this.root.setAttribute("width", String(width));
    this.root.setAttribute("height", String(height));
    this.root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.fillStyle = ground;
    this.fillRect(0, 0, width, height);
  }

  toString(): string {
    return new XMLSerializer().serializeToString(this.root);
  }

  setLineDash(dashes: Iterable<number>) {
    this.dashes = [...dashes];
  }

  beginPath() {
    this.path = "";
  }

  moveTo(x: number, y: number) {
    this.path += `M${place(x)} ${place(y)}`;
  }

  lineTo(x: number, y: number) {
    this.path += `L${place(x)} ${place(y)}`;
  }

  bezierCurveTo(...points: number[]) {
    this.path += `C${points.map(place).join(" ")}`;
  }

  closePath() {
    this.path += "Z";
  }

  roundRect(x: number, y: number, width: number, height: number, radius: number) {
    const r = Math.min(radius, width / 2, height / 2);
    const corner = (dx: number, dy: number) => `a${place(r)} ${place(r)} 0 0 1 ${place(dx)} ${place(dy)}`;
    this.path +=
      `M${place(x + r)} ${place(y)}h${place(width - 2 * r)}${corner(r, r)}v${place(height - 2 * r)}${corner(-r, r)}` +
      `h${place(2 * r - width)}${corner(-r, -r)}v${place(2 * r - height)}${corner(r, -r)}Z`;
  }

  fillRect(x: number, y: number, width: number, height: number) {
    this.add("rect", { x: place(x), y: place(y), width: place(width), height: place(height), ...this.filled() });
  }

  fill() {
    if (this.path) this.add("path", { d: this.path, ...this.filled() });
  }

  stroke() {
    if (this.path) this.add("path", { d: this.path, ...this.stroked() });
  }

  fillText(text: string, x: number, y: number, most?: number) {
    this.write(text, x, y, most, this.filled());
  }

  strokeText(text: string, x: number, y: number, most?: number) {
    this.write(text, x, y, most, this.stroked());
  }

  createRadialGradient(x0: number, y0: number, r0: number, x1: number, y1: number, r1: number) {
    const id = `glow-${this.root.childElementCount}`;
    return new Gradient(
      this.add("radialGradient", { id, gradientUnits: "userSpaceOnUse", fx: place(x0), fy: place(y0), fr: place(r0), cx: place(x1), cy: place(y1), r: place(r1) }),
    );
  }

  private add(name: string, attributes: Record<string, string>): SVGElement {
    const element = document.createElementNS(NAMESPACE, name) as SVGElement;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    this.root.append(element);
    return element;
  }

  private filled(): Record<string, string> {
    const { fillStyle } = this;
    const fill = fillStyle instanceof Gradient ? `url(#${fillStyle.element.id})` : String(fillStyle);
    return { fill, "fill-opacity": place(this.globalAlpha) };
  }

  private stroked(): Record<string, string> {
    return {
      fill: "none",
      stroke: String(this.strokeStyle),
      "stroke-opacity": place(this.globalAlpha),
      "stroke-width": place(this.lineWidth),
      "stroke-dasharray": this.dashes.map(place).join(" ") || "none",
    };
  }

  private write(text: string, x: number, y: number, most: number | undefined, paint: Record<string, string>) {
    const [, weight, size, family] = /^(\d+)? ?([\d.]+)px (.*)$/.exec(this.font)!;
    const element = this.add("text", {
      x: place(x),
      y: place(y),
      "text-anchor": this.textAlign === "center" ? "middle" : "start",
      "dominant-baseline": this.textBaseline === "middle" ? "central" : "auto",
      "font-family": family,
      "font-size": size,
      "font-weight": weight ?? "400",
      ...paint,
    });
    element.textContent = text;
    // Monospaced letters are six tenths of their size wide.
    if (most !== undefined && 0.6 * Number(size) * text.length > most) {
      element.setAttribute("textLength", place(most));
      element.setAttribute("lengthAdjust", "spacingAndGlyphs");
    }
  }
}

/** Saves something as a file. */
export function download(blob: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
