// The figures of a test: how many answers are right, what is taken for what, and which setting is better.
import { html, useState } from "../html.js";
import { number, t } from "../words.js";
import { accuracy, compared, confusion, isRight, macroF1, percentile } from "../evaluation.js";
import { figuresOf } from "../test_settings.js";
import { Choice } from "./field.js";
import { seconds, share } from "./test_cell.js";

const MOST_LABELS = 12; // that a matrix has room for
const SURE = 0.05;
const labelsOf = (pairs) => new Set(pairs.map(([gold]) => gold)).size;
// Whether gold answers are classes, and not texts of their own for each row.
const areClasses = (pairs, keys) => pairs.length > 0 && labelsOf(pairs) > 1 && labelsOf(pairs) <= MOST_LABELS && (keys || 2 * labelsOf(pairs) <= pairs.length);

function Figures({ settings, figures, rule, hasClasses }) {
  const shows = { f1: hasClasses, stable: figures.some(({ stability }) => stability !== null) };
  return html`<div class="scroll"><table class="figures"><caption class="hidden">${t("test.summary")}</caption>
    <thead><tr><th scope="col">${t("test.setting")}</th><th scope="col">${t("test.accuracy")}</th>
      ${shows.f1 && html`<th scope="col" class="number">${t("test.macroF1")}</th>`}${shows.stable && html`<th scope="col" class="number">${t("test.stability")}</th>`}
      <th scope="col" class="number">${t("test.latency")}</th><th scope="col" class="number">${t("test.tokens")}</th><th scope="col" class="number">${t("test.failures")}</th></tr></thead>
    <tbody>${settings.map((setting, at) => {
      const { n, failed, tokens, pairs, ms, stability } = figures[at], right = accuracy(pairs, rule);
      return html`<tr key=${setting.id}><th scope="row">${setting.title}</th>
        <td>${right.n ? html`<strong>${share(right.share)}</strong> ${t("test.rightOf", { right: number(right.right), n: number(right.n) })}
          <div class="bar"><meter min="0" max="1" value=${right.share} aria-hidden="true"></meter></div>
          <span class="help">${t("test.interval", { low: share(right.low), high: share(right.high) })}</span>` : html`<span class="help">${n ? t("test.noGold") : t("test.notRun")}</span>`}</td>
        ${shows.f1 && html`<td class="number">${pairs.length ? number(macroF1(pairs), { maximumFractionDigits: 2 }) : "–"}</td>`}
        ${shows.stable && html`<td class="number">${stability === null ? "–" : share(stability)}</td>`}
        <td class="number">${ms.length ? html`${seconds(percentile(ms, 50))}<br /><span class="help">${t("test.slowest", { time: seconds(percentile(ms, 95)) })}</span>` : "–"}</td>
        <td class="number">${number(tokens)}</td><td class="number">${failed ? html`<strong class="error">${number(failed)}</strong>` : 0}</td></tr>`;
    })}</tbody></table></div>
    ${hasClasses && settings.map((setting, at) => isOneAnswer(figures[at].pairs) && html`<p key=${setting.id} class="warning">${t("test.oneAnswer", { name: setting.title, answer: figures[at].pairs[0][1] || t("test.emptyAnswer") })}</p>`)}`;
}

// Whether all rows got one answer, which is no better than a guess.
const isOneAnswer = (pairs) => pairs.length > 4 && new Set(pairs.map(([, answer]) => answer)).size === 1;

// Which of two settings is better, in words.
function Comparison({ first, second, rights }) {
  const { onlyFirst, onlySecond, p } = compared(rights), values = { first: first.title, second: second.title };
  if (onlyFirst + onlySecond === 0) return html`<p>${t("test.sameRights", values)}</p>`;
  const verdict = onlyFirst === onlySecond ? t("test.equallyGood")
    : p < SURE ? t("test.better", { name: onlyFirst > onlySecond ? values.first : values.second }) : t("test.notSure");
  return html`<p>${t("test.onlyRight", { ...values, a: number(onlyFirst), b: number(onlySecond) })} <strong>${verdict}</strong>
    <span class="help"> ${t("test.chance", { p: number(p, { style: "percent", maximumFractionDigits: p < 0.1 ? 1 : 0 }) })}</span></p>`;
}

function Confusion({ pairs, known, chosen, onChoose }) {
  const { labels, counts } = confusion(pairs, known ?? []);
  if (labels.length > MOST_LABELS) return html`<p class="help">${t("test.manyLabels", { n: number(labels.length) })}</p>`;
  const golds = labels.map((label, at) => [label, at]).filter(([, at]) => counts[at].some(Boolean));
  const most = Math.max(1, ...counts.flat()), nameOf = (label) => label || t("test.emptyAnswer");
  return html`<p class="help">${t("test.confusionHelp")}</p><div class="matrix"><table class="confusion"><caption class="hidden">${t("test.confusion")}</caption>
    <thead><tr><td><span class="hidden">${t("test.gold")}</span></td>${labels.map((label) => html`<th key=${label} scope="col">${nameOf(label)}</th>`)}</tr></thead>
    <tbody>${golds.map(([gold, row]) => html`<tr key=${gold}><th scope="row">${nameOf(gold)}</th>${labels.map((label, column) => {
      const count = counts[row][column], isChosen = chosen?.gold === gold && chosen?.answer === label;
      const text = t("test.confused", { gold: nameOf(gold), answer: nameOf(label), n: number(count) });
      return html`<td key=${label} class=${row === column ? "diagonal" : ""}>${count
        ? html`<button type="button" class=${`plain heat${Math.ceil((4 * count) / most)}`} aria-pressed=${isChosen} aria-label=${text} title=${text}
            onClick=${() => onChoose(isChosen ? null : { gold, answer: label })}>${number(count)}</button>` : html`<span class="help">0</span>`}</td>`;
    })}</tr>`)}</tbody></table></div>`;
}

// settings: with titles; outcomes: a list of outcomes for each; golds: of the rows; keys: of choices, or null.
// chosen: {setting, gold, answer} of the matrix; onChoose gets another or null.
export function TestSummary({ settings, outcomes, golds, rule, keys, chosen, onChoose }) {
  const [shown, setShown] = useState(settings[0].id);
  const figures = outcomes.map((list) => figuresOf(list, golds));
  if (!figures.some(({ n }) => n)) return null;
  const at = Math.max(0, settings.findIndex(({ id }) => id === shown)), { pairs } = figures[at];
  const rightsOf = (second) => golds.flatMap((gold, row) => {
    const cells = [outcomes[0][row], outcomes[second][row]];
    return gold === null || cells.some(({ cell }) => !cell) ? [] : [cells.map(({ answer }) => isRight(gold, answer, rule))];
  });
  const hasClasses = rule === "equal" && figures.some((each) => areClasses(each.pairs, keys));
  return html`<section class="card" aria-label=${t("test.summary")}>
    <h2>${t("test.summary")}</h2>
    <${Figures} settings=${settings} figures=${figures} rule=${rule} hasClasses=${hasClasses} />
    ${settings.slice(1).map((second, index) => {
      const rights = rightsOf(index + 1);
      return rights.length > 0 && html`<${Comparison} key=${second.id} first=${settings[0]} second=${second} rights=${rights} />`;
    })}
    ${hasClasses && pairs.length > 0 && html`<details open><summary>${t("test.confusion")}</summary>
      ${settings.length > 1 && html`<${Choice} label=${t("test.confusionOf")} value=${settings[at].id} options=${settings.map(({ id, title }) => [id, title])}
        onChange=${(id) => { setShown(id); onChoose(null); }} />`}
      <${Confusion} pairs=${pairs} known=${keys} chosen=${chosen?.setting === settings[at].id ? chosen : null}
        onChoose=${(cell) => onChoose(cell && { ...cell, setting: settings[at].id })} /></details>`}
  </section>`;
}
