// A chat with a model that has a template for chats.
import { html, useEffect, useRef, useState } from "../html.js";
import { t } from "../words.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { TextArea } from "./text_input.js";
import { TokenText } from "./token_text.js";

export function ChatView({ draft, running }) {
  const { content, change } = draft, chat = { system: "", turns: [], ...content.chat }, { run, isRunning } = running;
  const [message, setMessage] = useState(""), end = useRef(null);
  const setChat = (next) => change((latest) => ({ ...latest, chat: { system: "", turns: [], ...latest.chat, ...next } }));
  const send = async (text) => {
    if (!text.trim() || isRunning) return;
    setMessage("");
    const result = await running.start(content, { message: text });
    const answer = result.candidates[0]?.text ?? "";
    if (answer) setChat({ turns: [...chat.turns, { user: text, assistant: answer }] });
    else setMessage(text);
  };
  const again = () => {
    const last = chat.turns.at(-1);
    setChat({ turns: chat.turns.slice(0, -1) });
    setMessage(last.user);
  };
  useEffect(() => end.current?.scrollIntoView({ block: "nearest" }), [chat.turns.length, run?.candidates[0]?.tokens.length]);
  return html`<section class="card chat">
    <${Field} label=${t("chat.system")} help=${t("chat.systemHelp")}>${(attributes) => html`<${TextArea} ...${attributes} value=${chat.system} onInput=${(system) => setChat({ system })} />`}</${Field}>
    <div class="bubbles" role="log" aria-label=${t("chat.title")}>
      ${chat.turns.map((turn, index) => html`<div key=${index}><p class="bubble user">${turn.user}</p><p class="bubble">${turn.assistant}</p></div>`)}
      ${isRunning && html`<p class="bubble user">${run.item.message}</p><div class="bubble"><${TokenText} tokens=${run.candidates[0].tokens} isRunning label=${t("result.title")} /></div>`}
      <span ref=${end}></span>
    </div>
    ${run?.state === "failed" && html`<p class="error" role="alert">${run.error}</p>`}
    ${run?.state === "done" && !run.candidates[0].text && html`<p class="warning" role="alert">${t(run.candidates[0].end?.stop_reason === "content_filter" ? "result.stop_content_filter" : "result.empty")}</p>`}
    ${run?.state === "broken" && html`<p class="warning" role="alert">${t("result.broken")}</p>`}
    <div class="row">
      <${TextArea} class="grow" rows=${1} by="enter" aria-label=${t("chat.message")} placeholder=${t("chat.message")} value=${message} onInput=${setMessage} onSubmit=${send} />
      ${isRunning ? html`<button type="button" class="primary" onClick=${running.stop}><${Icon} name="stop" />${t("write.stop")}</button>`
        : html`<button type="button" class="primary" onClick=${() => send(message)}><${Icon} name="play" />${t("chat.send")}</button>`}
    </div>
    <div class="row"><button type="button" class="plain" disabled=${!chat.turns.length || isRunning} onClick=${again}><${Icon} name="undo" />${t("chat.again")}</button>
      <button type="button" class="plain" disabled=${!chat.turns.length || isRunning} onClick=${() => setChat({ turns: [] })}>${t("chat.clear")}</button></div>
  </section>`;
}
