// Figures of a test: how often answers are right, and how sure that is. Pure functions without a page.
//
// A pair is [gold, answer]: two texts; the answer is null where there is none, which counts as wrong.

const Z95 = 1.959963984540054; // of the normal distribution, two-sided 95%

const plain = (text) => String(text ?? "").normalize("NFC").trim().replace(/\s+/g, " ");

// Whether an answer is the gold text: "equal" but for white space, or "contains" it somewhere.
export function isRight(gold, answer, rule = "equal") {
  if (answer === null || answer === undefined) return false;
  return rule === "contains" ? plain(answer).includes(plain(gold)) : plain(answer) === plain(gold);
}

// Wilson's interval of a share (Wilson, 1927): {share, low, high}; null where nothing was counted.
export function wilson(right, n, z = Z95) {
  if (!n) return null;
  const share = right / n, square = (z * z) / n;
  const middle = (share + square / 2) / (1 + square);
  const half = (z / (1 + square)) * Math.sqrt((share * (1 - share)) / n + square / (4 * n));
  return { share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

// {n, right, share, low, high}; share is null for no pairs.
export function accuracy(pairs, rule = "equal") {
  const right = pairs.filter(([gold, answer]) => isRight(gold, answer, rule)).length;
  return { n: pairs.length, right, ...(wilson(right, pairs.length) ?? { share: null, low: null, high: null }) };
}

const NO_ANSWER = "";

// How often each gold text (a row) was answered by each text (a column): {labels, counts}.
// Labels are those of `known` in their order, then others as they come; no answer is the label "".
export function confusion(pairs, known = []) {
  const texts = pairs.map(([gold, answer]) => [plain(gold), answer === null ? NO_ANSWER : plain(answer)]);
  const labels = [...new Set([...known.map(plain), ...texts.map(([gold]) => gold), ...texts.map(([, answer]) => answer)])];
  const at = new Map(labels.map((label, index) => [label, index]));
  const counts = labels.map(() => labels.map(() => 0));
  for (const [gold, answer] of texts) counts[at.get(gold)][at.get(answer)] += 1;
  return { labels, counts };
}

// Precision, recall and F1 of each label that was gold or an answer; 0 where a share has nothing to count.
export function labelScores(pairs) {
  const { labels, counts } = confusion(pairs);
  const ratio = (part, whole) => (whole ? part / whole : 0);
  return labels.map((label, index) => {
    const right = counts[index][index], n = counts[index].reduce((sum, count) => sum + count, 0);
    const answered = counts.reduce((sum, row) => sum + row[index], 0);
    return { label, n, precision: ratio(right, answered), recall: ratio(right, n), f1: ratio(2 * right, n + answered) };
  });
}

// The mean of the F1 of all labels, each of the same weight; null for no pairs.
export function macroF1(pairs) {
  const scores = labelScores(pairs);
  return scores.length ? scores.reduce((sum, { f1 }) => sum + f1, 0) / scores.length : null;
}

// The commonest of several answers to the same row, and its share: {answer, share}; null for none.
export function agreement(answers) {
  if (!answers.length) return null;
  const counts = new Map();
  for (const answer of answers) counts.set(plain(answer), (counts.get(plain(answer)) ?? 0) + 1);
  const [answer, most] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best));
  return { answer, share: most / answers.length };
}

// A percentile (0 to 100) by linear interpolation between the values; null for none.
export function percentile(values, percent) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const place = ((sorted.length - 1) * percent) / 100, below = Math.floor(place);
  return sorted[below] + ((sorted[below + 1] ?? sorted[below]) - sorted[below]) * (place - below);
}

// How the answers of two settings to the same rows differ. `rights`: pairs of whether each was right.
// p is that of McNemar's exact test: how probable a difference as large is where both are as good (McNemar, 1947).
export function compared(rights) {
  const count = (first, second) => rights.filter((pair) => pair[0] === first && pair[1] === second).length;
  const onlyFirst = count(true, false), onlySecond = count(false, true);
  const facts = { both: count(true, true), onlyFirst, onlySecond, neither: count(false, false) };
  return { ...facts, p: exactP(Math.min(onlyFirst, onlySecond), onlyFirst + onlySecond) };
}

// Twice the binomial probability of at most `fewer` of `n` at one half, and 1 at most.
function exactP(fewer, n) {
  let logTerm = -n * Math.LN2, sum = 0;
  for (let k = 0; k <= fewer; k++) {
    sum += Math.exp(logTerm);
    logTerm += Math.log(n - k) - Math.log(k + 1);
  }
  return n ? Math.min(1, 2 * sum) : 1;
}
