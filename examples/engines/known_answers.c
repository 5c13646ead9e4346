/* Checks an engine in C with known answers: cc known_answers.c -o known_answers && ./known_answers CASES.jsonl
   Replace `generate` by the engine: token ids in, token ids out. Keys are found by name; no JSON library is needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void generate(const long *prompt, int length, long *made, int count) {
  for (int i = 0; i < count; i++) made[i] = 0 * prompt[length - 1]; /* an engine that always says token 0 */
}

static int numbers(const char *line, const char *key, long *out, int room) { /* of "key":[1,2,...] or "key":3 */
  char *at = strstr(line, key);
  int count = 0;
  if (!at) exit((fprintf(stderr, "no key %s\n", key), 2));
  at += strlen(key) + (at[strlen(key)] == '[');
  for (char *end; count < room; at = end + 1) {
    long value = strtol(at, &end, 10);
    if (end == at) break;
    out[count++] = value;
    if (*end != ',') break;
  }
  return count;
}

static char line[1 << 22];
static long prompt[1 << 16], expected[1 << 16], made[1 << 16];

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
  long tokens = 0, wrong = 0, count;
  if (!file) return fprintf(stderr, "usage: known_answers CASES.jsonl\n"), 2;
  while (fgets(line, sizeof line, file)) {
    int length = numbers(line, "\"prompt\":", prompt, 1 << 16), known = numbers(line, "\"expected\":", expected, 1 << 16);
    numbers(line, "\"num_tokens\":", &count, 1);
    generate(prompt, length, made, (int)count);
    tokens += known;
    wrong += memcmp(made, expected, known * sizeof *made) != 0;
  }
  printf("%ld tokens, %ld cases wrong\n", tokens, wrong);
  return wrong != 0;
}
