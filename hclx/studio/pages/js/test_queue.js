// Asks the server for many answers, a few at once. It waits where the server is away or a quota is used up, and goes on.
import { api } from "./api.js";
import { plainError } from "./row_errors.js";

const AT_ONCE = 4;
const LONGEST_WAIT_S = 30;
const AWAY = [0, 502, 503, 504]; // statuses of a server that is starting again, or of the proxy before it
const OF_ALL = [401, 403, 404]; // statuses that every row would get

// A job is {content, item, seed, ...}; returns the facts of its answer.
async function answerOf({ content, item, seed }, signal) {
  const { results: [result] } = await api.post("api/run", { content, items: [item], seed }, { signal });
  const { answer, text, usage, ms, stop_reason, findings } = result.ends[0];
  const choices = result.scores && Object.fromEntries(Object.entries(result.scores.choices).map(([key, { probability }]) => [key, probability]));
  return { answer, text, choices, usage, ms, stop_reason, findings, seed, error: null };
}

// onAnswer(job, facts) gets each answer, facts.error where a row has failed; onState gets
// {state: "idle"|"running"|"paused"|"waiting", done, total, reason, resumes, error}: `reason` is "quota" or "away" where it
// waits until `resumes`, in milliseconds. `error` ends all: every row would have it.
export class TestQueue {
  constructor({ onAnswer, onState, answer = answerOf }) {
    Object.assign(this, { onAnswer, onState, answer });
    this.reset();
  }
  reset() {
    this.jobs = [];
    this.control = new AbortController();
    this.isPaused = false;
    this.resumes = 0;
    this.tries = 0;
    this.counts = { done: 0, total: 0 };
    this.reason = null;
  }
  tell(error = null) {
    const isBusy = this.counts.done < this.counts.total && !this.control.signal.aborted && !error;
    const state = !isBusy ? "idle" : this.isPaused ? "paused" : this.resumes > Date.now() ? "waiting" : "running";
    this.onState({ state, ...this.counts, reason: this.reason, resumes: this.resumes, error });
  }
  async start(jobs) {
    this.stop();
    this.reset();
    this.jobs = [...jobs].reverse(); // the next is popped
    this.counts.total = jobs.length;
    this.tell();
    const { control } = this;
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, jobs.length) }, () => this.work(control.signal)));
  }
  pause() {
    this.isPaused = true;
    this.tell();
  }
  resume() {
    this.isPaused = false;
    this.resumes = 0;
    this.tell();
    this.wake();
  }
  stop(error = null) {
    this.jobs = [];
    this.control.abort();
    this.tell(error);
    this.wake();
  }
  wake() {
    window.dispatchEvent(new Event("hclx-test-queue"));
  }
  // Waits until a job may be sent.
  async turn(signal) {
    while (!signal.aborted && (this.isPaused || this.resumes > Date.now())) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, this.isPaused ? 60_000 : Math.max(0, this.resumes - Date.now()));
        window.addEventListener("hclx-test-queue", () => { clearTimeout(timer); resolve(); }, { once: true });
      });
    }
    if (!signal.aborted) this.tell();
  }
  async work(signal) {
    for (;;) {
      await this.turn(signal);
      const job = this.jobs.pop();
      if (!job || signal.aborted) return;
      try {
        this.took(job, await this.answer(job, signal));
      } catch (error) {
        if (signal.aborted) return;
        this.failed(job, error);
      }
    }
  }
  took(job, facts) {
    this.counts.done += 1;
    this.tries = 0;
    this.reason = null;
    this.onAnswer(job, facts);
    this.tell();
  }
  failed(job, error) {
    const isQuota = error.status === 429;
    if (isQuota || AWAY.includes(error.status)) {
      this.jobs.push(job);
      this.tries += 1;
      const seconds = error.retryAfter ?? Math.min(LONGEST_WAIT_S, 2 ** Math.min(this.tries, 5) / 2);
      this.resumes = Math.max(this.resumes, Date.now() + 1000 * Math.max(0.5, seconds));
      this.reason = isQuota ? "quota" : "away";
      this.tell();
    } else if (OF_ALL.includes(error.status) || error.param?.startsWith("content")) this.stop(error);
    else this.took(job, { answer: null, text: null, choices: null, usage: null, ms: null, seed: job.seed, error: plainError(error) });
  }
}
