// What a run has brought: candidates side by side, choices with their probabilities, and what can be done with them.
import { html, useEffect, useRef, useState } from "../html.js";
import { number, t } from "../words.js";
import { categoryName, levelName } from "./filter_choice.js";
import { Icon } from "./icons.js";
import { copyText } from "./page.js";
import { TokenText } from "./token_text.js";

const share = (value) => number(value, { style: "percent", maximumFractionDigits: 1 });

// The choices and their probabilities as bars, the likeliest first.
export function Bars({ scores, answer }) {
  const keys = Object.keys(scores).sort((a, b) => scores[b].probability - scores[a].probability);
  return html`<ul class="bars">${keys.map((key) => html`<li key=${key} class=${key === answer ? "best" : ""}>
    <span>${key}</span><meter min="0" max="1" value=${scores[key].probability} aria-hidden="true"></meter>
    <span class="number">${share(scores[key].probability)}</span></li>`)}</ul>`;
}

function Facts({ end, prompt }) {
  const facts = [], isScored = end.choices !== undefined, stop = t(`result.stop_${end.stop_reason}`);
  if (end.usage && !isScored) facts.push(t("result.usage", { read: number(end.usage.prompt_tokens), written: number(end.usage.completion_tokens) }));
  if (end.ms !== undefined) facts.push(t("result.seconds", { seconds: number(end.ms / 1000, { maximumFractionDigits: 1 }) }));
  if (end.stop_reason && !isScored) facts.push(stop.startsWith("result.") ? end.stop_reason : stop);
  if (prompt?.seed != null && !isScored) facts.push(t("result.seed", { seed: prompt.seed }));
  return html`<p class="help">${facts.join(" · ")}</p>`;
}

function Findings({ findings }) {
  const flagged = (findings ?? []).filter((finding) => finding.level < 2);
  if (!flagged.length) return null;
  return html`<p class="warning">${t("result.findings")} ${flagged.map((finding) => `${categoryName(finding.category)} · ${levelName(finding.level)} (${share(finding.probability)})`).join(", ")}</p>`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const SLOW_MS = 1500;

// Says after a moment that the model is being prepared: the first answers of a kind take a few seconds.
export function Waiting() {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => clearTimeout(timer);
  }, []);
  return isSlow && html`<p class="help" role="status">${t("result.waiting")}</p>`;
}

// What a candidate says, as it is read by people.
export function answerText({ text, end }) {
  if (end && typeof end.answer === "string" && end.answer) return end.answer;
  return end && /^\s*[{[]/.test(text) ? pretty(text) : text.trim();
}

// run: of useRun. onPick(candidate, index, text), onContinue(candidate), onExample(answer) and onAgain() are called by buttons.
export function Result({ run, isRunning, isShape, onPick, onContinue, onExample, onAgain }) {
  const { candidates, prompt } = run, several = candidates.length > 1, box = useRef(null);
  const hasText = ({ text, scores }) => Boolean(text || scores), hasAny = candidates.some((candidate) => candidate && hasText(candidate));
  const isShown = (candidate) => candidate && (hasAny || isRunning || candidate.end);
  useEffect(() => { if (isRunning) box.current.scrollIntoView({ block: "nearest" }); }, [isRunning]);
  return html`<div class="result" ref=${box}>
    ${isRunning && !hasAny && html`<${Waiting} />`}
    ${prompt?.dropped_examples > 0 && html`<p class="warning">${t("result.dropped", { n: prompt.dropped_examples })}</p>`}
    <div class="candidates" aria-busy=${isRunning}>${candidates.map((candidate, n) => isShown(candidate) && html`<article key=${n} class="candidate">
      ${several && html`<h3>${t("result.candidate", { n: n + 1 })}</h3>`}
      ${candidate.scores
        ? html`<p class="answer">${candidate.end?.answer ?? ""}</p><${Bars} scores=${candidate.scores} answer=${candidate.end?.answer} />`
        : isShape && candidate.end ? html`<pre>${pretty(candidate.text)}</pre>`
        : candidate.tokens.length || isRunning ? html`<${TokenText} tokens=${candidate.tokens} isRunning=${isRunning && !candidate.end} label=${t("result.title")}
            onPick=${onPick && ((index, text) => onPick(candidate, index, text))} />`
        : html`<div class="token-text">${candidate.text}</div>`}
      ${candidate.end && !hasText(candidate) && html`<p class="help">${t("result.empty")}</p>`}
      <${Findings} findings=${candidate.end?.findings} />
      ${candidate.end && html`<${Facts} end=${{ ...candidate.end, choices: candidate.scores ?? undefined }} prompt=${prompt} />`}
      ${!isRunning && hasText(candidate) && html`<div class="row">
        <button type="button" class="plain" onClick=${() => copyText(candidate.scores ? candidate.end.answer : candidate.text)}><${Icon} name="copy" />${t("common.copy")}</button>
        ${onContinue && !candidate.scores && html`<button type="button" class="plain" onClick=${() => onContinue(candidate)}><${Icon} name="play" />${t("result.continue")}</button>`}
        ${onExample && html`<button type="button" class="plain" onClick=${() => onExample(candidate)}><${Icon} name="plus" />${t("result.asExample")}</button>`}
      </div>`}
    </article>`)}</div>
    ${run.state === "broken" && html`<div class="warning" role="alert">${t("result.broken")}
      <div class="row">${onContinue && html`<button type="button" class="primary" onClick=${() => onContinue(candidates[0])}>${t("result.goOn")}</button>`}
        <button type="button" onClick=${onAgain}>${t("result.again")}</button></div></div>`}
    ${run.state === "stopped" && html`<p class="help">${t("result.stopped")}</p>`}
    ${run.state === "failed" && html`<p class="error" role="alert">${run.error}</p>`}
    <p class="hidden" role="status">${isRunning ? t("result.running") : run.state === "done" ? t("result.ready") : ""}</p>
  </div>`;
}
