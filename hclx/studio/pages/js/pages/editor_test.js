// Testing a prompt on a table: every row is answered, by several settings side by side, and the answers are counted.
import { html, useEffect, useMemo, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { number, t } from "../words.js";
import { newId, jobsOf, startTest, useBench, useFilter, useQueue, useTest } from "../test_bench.js";
import { useTestRuns } from "../test_runs.js";
import { exampleMarks, fieldsOfContent, isChat, isExample, itemOf } from "../test_settings.js";
import { useTable } from "../test_table.js";
import { ChooseTable } from "../parts/choose_table.js";
import { notifyError } from "../parts/notices.js";
import { Pending } from "../parts/page.js";
import { SettingDialog } from "../parts/setting_dialog.js";
import { RunControls, SettingsBar } from "../parts/test_bar.js";
import { TestColumns } from "../parts/test_columns.js";
import { TestRows } from "../parts/test_rows.js";
import { TestSummary } from "../parts/test_summary.js";

// Versions are asked for when they are needed, as one may just have been saved.
function CompareDialog({ draft, ...rest }) {
  const [versions, setVersions] = useState(null);
  useEffect(() => {
    whenBack(() => api.get(`api/prompts/${draft.id}`)).then(({ versions: list }) => setVersions([...list].sort((a, b) => b.number - a.number)), (error) => { notifyError(error); setVersions([]); });
  }, []);
  return versions && html`<${SettingDialog} content=${draft.content} versions=${versions} ...${rest} />`;
}

// How many rows are examples of the prompt too.
function useLeak({ document }, { rows, filled, marks, binding }, isOff) {
  return useMemo(() => {
    const known = isOff ? new Set() : exampleMarks(document);
    return known.size ? rows.filter((row, at) => filled[at] && isExample(itemOf(row, binding), known, document)).length : 0;
  }, [rows, marks, document, isOff]);
}

function Test({ draft, table, test, putTest, runs }) {
  const { content } = draft, bench = useBench({ draft, table, test, runs }), filtered = useFilter(bench), [isChoosing, setChoosing] = useState(false);
  const [queue, queueState] = useQueue(({ run, row, repeat }, facts) => runs.put({ run, row, repeat, ...facts }));
  const { columns, settings, outcomes, binding, keys, filled } = bench, { counts } = filtered, isBusy = queueState.state !== "idle";
  const leak = useLeak(content, bench, isChat(content)), run = (isWanted, isAgain) => startTest({ bench, queue, runs, putTest, prompt: draft.id }, isWanted, isAgain);
  const actions = {
    runAll: () => run(() => true, counts.missing === 0 && counts.failed === 0), runChosen: () => run((at) => filtered.chosenAt(at)),
    pause: () => queue.pause(), resume: () => queue.resume(), stop: () => queue.stop(),
  };
  const again = (setting, at) => queue.start(jobsOf(bench, [{ ...setting, own: setting.record.content }], { [setting.id]: setting.run }, (other) => other === at, runs.cells));
  const compare = (setting) => {
    putTest((before) => ({ settings: [...before.settings, { ...setting, id: newId() }] }));
    setChoosing(false);
  };
  const answered = outcomes.flat().filter(({ cell }) => cell).length;
  return html`<div class="test">
    <section class="card">
      <${SettingsBar} settings=${settings} isBusy=${isBusy} onAdd=${() => setChoosing(true)}
        onRemove=${(id) => putTest((before) => ({ settings: before.settings.filter((setting) => setting.id !== id) }))} />
      <${RunControls} queue=${queueState} actions=${actions} mayRun=${!binding.missing.length && filled.some(Boolean)}
        counts=${{ ...counts, answered, stale: settings.some(({ isStale }) => isStale) }} />
      <${TestColumns} test=${test} columns=${columns} binding=${binding} isWritten=${!keys} onTest=${putTest} onColumn=${(name) => table.change({ columns: [...columns, name] })} />
      ${leak > 0 && html`<p class="warning">${t("test.leak", { n: number(leak) })}</p>`}
    </section>
    <${TestSummary} settings=${settings} outcomes=${outcomes} golds=${bench.golds} rule=${bench.rule} keys=${keys} chosen=${filtered.filter?.cell} onChoose=${filtered.chooseCell} />
    <${TestRows} draft=${draft} table=${table} bench=${bench} filtered=${filtered} isBusy=${isBusy} onAgain=${again} />
    ${isChoosing && html`<${CompareDialog} draft=${draft} runs=${runs.runs.filter(({ id }) => !settings.some((setting) => setting.run === id))} onClose=${() => setChoosing(false)} onChoose=${compare} />`}
  </div>`;
}

function Loading({ draft }) {
  const { content, change } = draft, table = useTable(content.table), [test, putTest] = useTest(draft.id), runs = useTestRuns(draft.id);
  if (table.error) {
    return html`<${Pending} loaded=${table} /><div class="row choose-other">
      <button type="button" onClick=${() => change((latest) => ({ ...latest, table: null }))}>${t("test.otherTable")}</button></div>`;
  }
  if (!table.value || !test || !runs.runs) return html`<${Pending} loaded=${{}} />`;
  return html`<${Test} draft=${draft} table=${table} test=${test} putTest=${putTest} runs=${runs} />`;
}

function NoSlots({ id }) {
  return html`<section class="empty"><h2>${t("test.noSlots")}</h2><p>${t("test.noSlotsText")}</p><a class="button" href=${`#/prompts/${id}`}>${t("test.toWrite")}</a></section>`;
}

export default function EditorTest({ draft }) {
  const { content, change, title, id } = draft;
  if (!fieldsOfContent(content).length) return html`<${NoSlots} id=${id} />`;
  if (!content.table) return html`<${ChooseTable} content=${content} title=${title} onChoose=${(table) => change((latest) => ({ ...latest, table }))} />`;
  return html`<${Loading} key=${content.table} draft=${draft} />`;
}
