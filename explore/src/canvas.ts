// Canvases: as wide as they may be, sharp on any screen, and pictures off the screen that are kept from frame to frame.

import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** How wide an element is, from before it is first painted; 0 until then, when what depends on it must not be shown. */
export function useWidth(): [preact.RefObject<HTMLDivElement | null>, number] {
  const reference = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    setWidth(Math.floor(reference.current!.clientWidth));
    const observer = new ResizeObserver((entries) => setWidth(Math.floor(entries[0].contentRect.width)));
    observer.observe(reference.current!);
    return () => observer.disconnect();
  }, []);
  return [reference, width];
}

/** A canvas of a size in CSS pixels, sharp on any screen, with its origin at the top left. */
export function prepareCanvas(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  const wide = Math.max(1, Math.round(width * ratio));
  const high = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** A picture off the screen that is mostly added to: a step then costs what it adds, not what all before it have drawn. */
export class Layer {
  readonly canvas = document.createElement("canvas");
  /** How far, or with what, the picture was drawn; whoever draws it writes this. */
  drawn: Int32Array = new Int32Array(0);
  private key: unknown[] = [];

  /** Where to draw, and whether the picture of this key still stands there; else it has been wiped. */
  prepare(width: number, height: number, ...key: unknown[]): { context: CanvasRenderingContext2D; isKept: boolean } {
    const whole = [width, height, window.devicePixelRatio, ...key];
    const isKept = whole.length === this.key.length && whole.every((part, place) => part === this.key[place]);
    if (isKept) return { context: this.canvas.getContext("2d")!, isKept };
    this.key = whole;
    return { context: prepareCanvas(this.canvas, width, height), isKept };
  }

  /** Wipes it, so that it is drawn anew. */
  wipe(width: number, height: number) {
    prepareCanvas(this.canvas, width, height);
  }

  show(context: CanvasRenderingContext2D, width: number, height: number) {
    context.drawImage(this.canvas, 0, 0, width, height);
  }
}
