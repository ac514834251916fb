"""How the Studio's pages run a test: what is asked for, through quotas and restarts, and what
becomes of a table whose rows are shown in part.
"""

import pytest

# Runs a queue whose answers are `steps`: for each call of a job, its status or "ok"; what it has
# answered, how many calls ran at once, and the states that it told come back.
QUEUE = """
const [steps, nJobs, action] = values, calls = {}, answered = [], states = [];
let running = 0, most = 0, reason = null, error = null;
const answer = async (job, signal) => {
  const call = calls[job.name] = (calls[job.name] ?? 0) + 1;
  most = Math.max(most, ++running);
  await new Promise((resolve) => setTimeout(resolve, 5));
  running -= 1;
  if (signal.aborted) throw Object.assign(new Error(), { name: "AbortError" });
  const step = steps[job.name]?.[call - 1] ?? "ok";
  if (step === "ok") return { answer: job.name, error: null };
  const retryAfter = step === 429 ? 0.2 : null;
  throw Object.assign(new Error(`status ${step}`), { status: step, retryAfter, param: null });
};
const queue = new TestQueue({
  answer, onAnswer: (job, facts) => answered.push([job.name, facts.error]),
  onState: (state) => {
    states.push(state.state);
    reason = state.reason ?? reason;
    error = state.error?.message ?? error;
  },
});
const end = queue.start(Array.from({ length: nJobs }, (_, at) => ({ name: `${at}`, seed: at })));
if (action === "pause") {
  queue.pause();
  await new Promise((resolve) => setTimeout(resolve, 80));
  const before = answered.length;
  await new Promise((resolve) => setTimeout(resolve, 80));
  const after = answered.length;
  queue.resume();
  await end;
  return { before, after, answered, states };
}
if (action === "stop") setTimeout(() => queue.stop(), 12);
await end;
return { answered, calls, most, states, reason, error };
"""


def run_queue(scripts, steps=None, n_jobs=12, action=""):
    return scripts.run("TestQueue", "test_queue.js", QUEUE, steps or {}, n_jobs, action)


def test_four_rows_at_once_in_order(scripts):
    result = run_queue(scripts)
    assert sorted(result["answered"], key=lambda pair: int(pair[0])) == result["answered"]
    assert len(result["answered"]) == 12
    assert result["most"] == 4
    assert result["states"][-1] == "idle"


@pytest.mark.parametrize("status, reason", [(0, "away"), (503, "away"), (429, "quota")])
def test_a_server_that_is_away_is_asked_again(scripts, status, reason):
    result = run_queue(scripts, {"2": [status], "3": [status, status]}, 6)
    assert sorted(name for name, error in result["answered"] if error is None) == list("012345")
    assert result["calls"]["3"] == 3
    assert "waiting" in result["states"]
    assert result["reason"] == reason


def test_a_row_that_fails_is_told_and_others_go_on(scripts):
    result = run_queue(scripts, {"1": [500]}, 4)
    assert dict(result["answered"]) == {"0": None, "1": "status 500", "2": None, "3": None}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_every_row_would_get_ends_the_test(scripts, status):
    result = run_queue(scripts, {str(at): [status] for at in range(40)}, 40)
    assert result["answered"] == []
    assert sum(result["calls"].values()) <= 4
    assert result["error"] == f"status {status}"
    assert result["states"][-1] == "idle"


def test_paused_tests_wait(scripts):
    result = run_queue(scripts, n_jobs=30, action="pause")
    assert result["before"] == result["after"] == 4  # those that were on their way
    assert len(result["answered"]) == 30
    assert "paused" in result["states"]


def test_stopped_tests_end(scripts):
    result = run_queue(scripts, n_jobs=200, action="stop")
    assert len(result["answered"]) < 20
    assert result["states"][-1] == "idle"


BENCH = """
const rows = values[0].map((text) => ({ 글: text }));
const binding = { bound: { text: "글" }, label: "" };
const filled = rows.map(({ 글 }) => Boolean(글)), marks = values[0].map((text) => `m${text}`);
const bench = { rows, filled, marks, repeats: 2, binding };
const kept = [["0:m가", { error: null }], ["1:m가", { error: "x" }]];
const cells = (run) => new Map(run === "r1" ? kept : []);
const settings = [{ id: "s1", own: { a: 1 } }, { id: "s2", own: { a: 2 } }];
return jobsOf(bench, settings, { s1: "r1", s2: "r2" }, (at) => at !== 3, cells);
"""


def test_what_is_asked_for(scripts):
    """Rows without text, rows that are not wanted, equal rows and answers that are there are not
    asked for again; failed ones are. The seed of a row is the same for all settings.
    """
    jobs = scripts.run("jobsOf", "test_bench.js", BENCH, ["가", "", "나", "다", "나"])
    asked = [(job["run"], job["item"]["text"], job["repeat"]) for job in jobs]
    expected = {("r1", "가", 1), ("r2", "가", 0), ("r2", "가", 1)}
    expected |= {(run, "나", repeat) for run in ("r1", "r2") for repeat in (0, 1)}
    assert set(asked) == expected
    assert len(asked) == len(expected)
    seeds = {}
    for job in jobs:
        seeds.setdefault((job["row"], job["repeat"]), set()).add(job["seed"])
    assert all(len(each) == 1 for each in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in set.union(*seeds.values()))


def test_marks_tell_settings_apart_and_no_names(scripts):
    body = """
    const read = { input: "{x}", answer: " {answer}" };
    const document = { name: "가", ...read, sampling: { top_p: 1, temperature: 0 } };
    const same = { name: "나", sampling: { temperature: 0, top_p: 1 }, ...read };
    const other = { ...document, sampling: { top_p: 1, temperature: 0.1 } };
    const mark = (own, rest = {}) => markOfContent({ document: own, ...rest });
    const others = [mark(document, { model: "m" }), mark(document, { view: "text" })];
    return [mark(document), mark(same), mark(other), ...others];
    """
    first, same, other, model, view = scripts.run("markOfContent", "test_settings.js", body)
    assert first == same == view
    assert len({first, other, model}) == 3


MERGE = """
const rows = numbered(values[0].map((text) => ({ text })));
const shown = rows.filter((_, at) => values[1].includes(at));
let next = [...shown];
if (values[2] === "edit") next = next.map((row) => ({ ...row, text: row.text.toUpperCase() }));
if (values[2] === "remove") next.splice(1, 1);
if (values[2] === "move") next.reverse();
if (values[2] === "add") next.push({ text: "*" });
const merged = mergedRows(rows, shown, next);
return merged.map(({ text }) => text);
"""


@pytest.mark.parametrize(
    "change, merged",
    [("edit", "aBcDeFg"), ("remove", "abcefg"), ("move", "afcdebg"), ("add", "abcdef*g")],
)
def test_rows_that_are_not_shown_stay(scripts, change, merged):
    values = list("abcdefg"), [1, 3, 5], change
    names = scripts.run("numbered, mergedRows", "test_table.js", MERGE, *values)
    assert "".join(names) == merged


def test_columns_of_a_batch_have_the_names_of_slots(scripts):
    table = {"columns": ["리뷰", "text", "번호"], "rows": [["좋아요", "x", 7]]}
    body = "return boundTable(values[0], ['text', 'again'], { text: '리뷰', again: '리뷰' });"
    bound = scripts.run("boundTable", "parts/new_batch.js", body, table)
    assert bound == {
        "columns": ["text", "text_", "번호", "again"],
        "rows": [["좋아요", "x", "7", "좋아요"]],
    }
