// Builds the scripts and styles of the pages into the Python package, and lists the licences of what is in them.
// With --check nothing is written: exit 1 if the committed files are not what the sources build to.

import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "src", "serialformer", "explorer");

const result = await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.tsx", columns: "src/columns.ts" },
  bundle: true,
  minify: true,
  charset: "ascii",
  format: "iife",
  target: ["chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  outdir: target,
  write: false,
});

const files = new Map(result.outputFiles.map((file) => [file.path.split("/").pop(), file.text]));
const packages = new Set();
for (const name of Object.keys(result.metafile.inputs)) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(name);
  if (found) packages.add(found[1]);
}
const licences = [...packages].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, "LICENSE"), "utf-8").trim()}\n`;
});
files.set(
  "THIRD_PARTY.txt",
  "page.js and columns.js are built from the sources in explore/; page.js holds these packages:\n\n" + licences.join("\n" + "-".repeat(80) + "\n\n"),
);

for (const [name, text] of files) {
  if (/<\/(script|style)|<!--/i.test(text) && name !== "THIRD_PARTY.txt") throw new Error(`${name} cannot stand in a page`);
}

if (process.argv.includes("--check")) {
  const differ = [...files].filter(([name, text]) => {
    try {
      return readFileSync(join(target, name), "utf-8") !== text;
    } catch {
      return true;
    }
  });
  if (differ.length) {
    console.error(`not what the sources build to: ${differ.map(([name]) => name).join(", ")}; run npm run build`);
    process.exit(1);
  }
  console.log("the committed files are what the sources build to");
} else {
  for (const [name, text] of files) {
    writeFileSync(join(target, name), text);
    console.log(`${name} ${text.length} bytes`);
  }
}
