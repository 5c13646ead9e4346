// Long computations in slices of time, so that the page can draw and answer in between.

/** For so long is computed before the page may draw and answer. */
export const SLICE_MILLISECONDS = 12;

/** Lets the page draw and answer in between. */
export function yieldToPage(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}
