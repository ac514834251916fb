// Calls the server. All addresses are relative to the page, which may lie below any path.
import { number, t } from "./words.js";

const HERE = new URL(".", document.baseURI);
const OFFLINE_TRIES = 3;
const LONG_SECONDS = 3600; // a quota that opens again later than this is that of a day

// An answer that is no success. `code` is a word for programs ("conflict", "offline", ...), `message` is for people;
// `retryAfter` is in how many seconds the server may answer, null where it does not say.
export class ApiError extends Error {
  constructor(status, code, message, body = {}, retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = body?.error?.param ?? null;
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

// What has gone wrong, in plain words, where nothing in what was sent is wrong; null elsewhere.
export function plainText({ status, code, retryAfter }) {
  if (status === 429) return retryAfter > LONG_SECONDS ? t("errors.dayUsed") : t("errors.tooMany", { seconds: number(retryAfter || 60) });
  if (code === "context_length_exceeded" || status === 413) return t("errors.tooLong");
  return status >= 500 ? t("errors.busy") : null;
}

export const addressOf = (path) => new URL(path, HERE).href;

async function send(method, path, body, { signal, headers = {}, raw } = {}) {
  const isJson = body !== undefined && !raw;
  const options = {
    method, signal, credentials: "same-origin", cache: "no-store",
    headers: { ...(isJson ? { "Content-Type": "application/json" } : {}), ...headers },
    body: isJson ? JSON.stringify(body) : body,
  };
  let response;
  try {
    response = await fetch(addressOf(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "offline", t("errors.offline"));
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch { /* a proxy's own page */ }
  const { code = "failed", message } = body?.error ?? {};
  if (response.status === 401) window.dispatchEvent(new Event("hclx-logged-out"));
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  const { status } = response, plain = plainText({ status, code, retryAfter });
  return new ApiError(status, code, plain ?? (message || t("errors.status", { status })), body, retryAfter);
}

async function json(method, path, body, options) {
  const response = await send(method, path, body, options);
  const text = await response.text();
  return text ? JSON.parse(text) : {};
}

export const api = {
  get: (path, options) => json("GET", path, undefined, options),
  post: (path, body = {}, options) => json("POST", path, body, options),
  put: (path, body, options) => json("PUT", path, body, options),
  patch: (path, body, options) => json("PATCH", path, body, options),
  delete: (path, options) => json("DELETE", path, undefined, options),
  // Sends the bytes of a file.
  upload: (path, file, options) => json("POST", path, file, { ...options, raw: true, headers: { "Content-Type": "application/octet-stream" } }),
};

// Repeats a call that only reads while the server is away, as it is during a restart.
export async function whenBack(call, tries = OFFLINE_TRIES) {
  for (let number = 0; ; number++) {
    try {
      return await call();
    } catch (error) {
      const isAway = error.code === "offline" || error.status === 503;
      if (!isAway || number >= tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** number));
    }
  }
}

// Yields the server-sent events of a POST as {name, data}. Who leaves the loop ends the request.
export async function* events(path, body, { signal, headers } = {}) {
  const response = await send("POST", path, body, { signal, headers: { Accept: "text/event-stream", ...headers } });
  const reader = response.body.getReader();
  const decoder = new TextDecoder(); // one for the whole stream: a syllable may come in two parts
  let rest = "";
  try {
    for (;;) {
      let part;
      try {
        part = await reader.read();
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, "broken", t("errors.broken"));
      }
      rest += decoder.decode(part.value ?? new Uint8Array(), { stream: !part.done });
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = eventOf(block);
        if (event) yield event;
      }
      if (part.done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function eventOf(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
