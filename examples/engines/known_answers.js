// Checks an engine in JavaScript with known answers: node known_answers.js CASES.jsonl
// Replace `generate` by the engine: token ids in, token ids out.
const fs = require("fs");

function generate(prompt, numTokens) {
  return new Array(numTokens).fill(0); // an engine that always says token 0
}

let tokens = 0, wrong = 0;
for (const line of fs.readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean)) {
  const known = JSON.parse(line);
  if (known.version !== 1) throw new Error(`cases of version ${known.version}`);
  const made = generate(known.prompt, known.num_tokens);
  tokens += known.expected.length;
  const first = known.expected.findIndex((token, place) => made[place] !== token);
  if (first < 0) continue;
  wrong++;
  if (wrong === 1)
    console.log(`${known.id}: token ${first} (gate ${known.gates[first]}) should be ${known.expected[first]}, is ` +
      `${made[first]}; it depends on positions ${known.reads[first].join(", ")}`);
}
console.log(`${tokens} tokens, ${wrong} cases wrong`);
process.exit(wrong ? 1 : 0);
