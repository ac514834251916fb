// The answer to a row: in short as a cell of a table, and in full as a dialog.
import { html } from "../html.js";
import { number, t } from "../words.js";
import { answerOfCell, isChat } from "../test_settings.js";
import { useRun } from "../run.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Result } from "./result.js";

export const share = (value) => number(value, { style: "percent", maximumFractionDigits: 0 });
export const seconds = (ms) => t("result.seconds", { seconds: number(ms / 1000, { maximumFractionDigits: ms < 1000 ? 2 : 1 }) });
const nTokens = (usage) => usage.prompt_tokens + usage.completion_tokens;

// Right or wrong, as an icon and a word.
export function Verdict({ right }) {
  if (right === null) return null;
  return html`<span class=${`verdict ${right ? "good" : "bad"}`}><${Icon} name=${right ? "check" : "cross"} />${right ? t("test.right") : t("test.wrong")}</span>`;
}

function Facts({ outcome, isOther }) {
  const { cell, stable } = outcome, facts = [];
  if (cell.ms != null) facts.push(seconds(cell.ms));
  if (cell.usage) facts.push(t("common.tokens", { n: number(nTokens(cell.usage)) }));
  const probability = cell.choices?.[cell.answer];
  if (probability !== undefined) facts.push(t("test.probability", { share: share(probability) }));
  if (stable) facts.push(t("test.same", { share: share(stable.share) }));
  return html`<span class="facts">${isOther && html`<strong class="other">≠ ${t("test.differs")}</strong>`}${facts.join(" · ")}</span>`;
}

// isOther: whether the answer is not that of the first setting.
export function ResultCell({ outcome, isOther, isWaiting, name, onOpen }) {
  const { cell, answer, right, error } = outcome;
  if (!cell) return html`<span class="help">${isWaiting ? "…" : "–"}</span>`;
  return html`<button type="button" class="plain result-cell" aria-haspopup="dialog" title=${error ?? answer} onClick=${onOpen}>
    <span class="line"><span class="hidden">${name}</span>
      ${error ? html`<span class="verdict bad"><${Icon} name="cross" />${t("test.failed")}</span><span class="answer">${error}</span>`
        : html`<${Verdict} right=${right} /><span class="answer">${answer || t("test.emptyAnswer")}</span>`}</span>
    ${!error && html`<${Facts} outcome=${outcome} isOther=${isOther} />`}
  </button>`;
}

function Choices({ choices, answer }) {
  const keys = Object.keys(choices).sort((a, b) => choices[b] - choices[a]);
  return html`<ul class="bars">${keys.map((key) => html`<li key=${key} class=${key === answer ? "best" : ""}><span>${key}</span>
    <meter min="0" max="1" value=${choices[key]} aria-hidden="true"></meter><span class="number">${share(choices[key])}</span></li>`)}</ul>`;
}

function Repeats({ cells }) {
  return html`<h3>${t("test.repeats")}</h3><ol class="repeats">${cells.map((cell) => html`<li key=${cell.repeat}>${cell.error ?? answerOfCell(cell)}</li>`)}</ol>`;
}

// detail: {title, item, gold, outcome, content}. onAgain asks for the row's answer anew.
export function CellDialog({ detail, onAgain, onClose }) {
  const { title, item, gold, outcome, content } = detail, { cell, right, all } = outcome, running = useRun();
  const isWritten = !cell.choices;
  const withTokens = () => {
    const { document } = content;
    running.start({ ...content, logprobs: 5, document: { ...document, sampling: { ...document.sampling, seed: cell.seed } } }, item);
  };
  const facts = [cell.ms != null && seconds(cell.ms), cell.usage && t("result.usage", { read: number(cell.usage.prompt_tokens), written: number(cell.usage.completion_tokens) }),
    cell.stop_reason && !cell.choices && t(`result.stop_${cell.stop_reason}`), t("result.seed", { seed: cell.seed })].filter(Boolean);
  return html`<${Dialog} title=${title} onClose=${onClose} isWide>
    <dl class="detail">
      ${Object.entries(item).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}
      ${gold !== null && html`<div><dt>${t("test.gold")}</dt><dd>${gold}</dd></div>`}
      <div><dt>${t("test.answer")}</dt><dd>${cell.error ? html`<span class="error">${cell.error}</span>` : html`<strong>${outcome.answer}</strong> <${Verdict} right=${right} />`}</dd></div>
      ${isWritten && cell.text && cell.text.trim() !== outcome.answer && html`<div><dt>${t("test.wholeText")}</dt><dd><pre>${cell.text}</pre></dd></div>`}
    </dl>
    ${cell.choices && html`<${Choices} choices=${cell.choices} answer=${cell.answer} />`}
    ${all.length > 1 && html`<${Repeats} cells=${all} />`}
    <p class="help">${facts.join(" · ")}</p>
    ${running.run && html`<${Result} run=${running.run} isRunning=${running.isRunning} onAgain=${withTokens} />`}
    <div class="row end">
      ${cell.error && html`<button type="button" onClick=${onAgain}><${Icon} name="redo" />${t("test.rowAgain")}</button>`}
      ${isWritten && !cell.error && !isChat(content) && !running.run && html`<button type="button" onClick=${withTokens}>${t("test.showTokens")}</button>`}
      <button type="button" class="primary" onClick=${onClose}>${t("common.close")}</button>
    </div>
  </${Dialog}>`;
}
