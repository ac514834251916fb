// A written text with the colour of each token's probability, and the tokens that might have stood in its place.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { number, t } from "../words.js";

const CHUNK = 50; // tokens that are drawn again together while a text grows
const BOUNDS = [0.05, 0.2, 0.4, 0.7];

const levelOf = (logprob) => BOUNDS.filter((bound) => Math.exp(logprob) >= bound).length;
export const percent = (logprob) => number(Math.exp(logprob), { style: "percent", maximumSignificantDigits: 2 });
const visible = (text) => text.replace(/\n/g, "↵\n") || "␣";

function Chunk({ tokens, first }) {
  return useMemo(() => html`${tokens.map((token, offset) => html`<span key=${first + offset} data-token=${first + offset}
    class=${token.logprob == null ? "" : `p${levelOf(token.logprob)}`}>${token.text}</span>`)}`, [tokens.length, tokens[0], tokens.at(-1)]);
}

// onPick(index, text) goes on from a token with another text in its place; without it they are only shown.
export function TokenText({ tokens, onPick, isRunning, label }) {
  const box = useRef(null), [open, setOpen] = useState(null), [active, setActive] = useState(0);
  const chunks = useMemo(() => {
    const list = [];
    for (let first = 0; first < tokens.length; first += CHUNK) list.push([first, tokens.slice(first, first + CHUNK)]);
    return list;
  }, [tokens]);
  const indexOf = (event) => event.target.closest?.("[data-token]")?.dataset.token;
  const show = (index, isPinned) => {
    const token = tokens[index], element = box.current.querySelector(`[data-token="${index}"]`);
    if (!token?.top?.length || !element) return;
    const place = element.getBoundingClientRect(), frame = box.current.getBoundingClientRect();
    setOpen({ index: Number(index), isPinned, left: Math.max(0, Math.min(place.left - frame.left, frame.width - 250)), top: place.bottom - frame.top + 4 });
  };
  const close = (returnsFocus = true) => {
    setOpen(null);
    if (returnsFocus) box.current.focus();
  };
  const onKey = (event) => {
    if (open?.isPinned) return;
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) {
      event.preventDefault();
      const next = Math.max(0, Math.min(tokens.length - 1, active + by));
      setActive(next);
      show(next, false);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      show(active, true);
    } else if (event.key === "Escape") close();
  };
  useEffect(() => {
    if (!open?.isPinned) return;
    box.current.querySelector(".alternatives button")?.focus();
    box.current.querySelector(".alternatives")?.scrollIntoView({ block: "nearest" });
  }, [open?.isPinned, open?.index]);
  const token = open && tokens[open.index];
  const mayPick = onPick && !isRunning;
  return html`<div class="token-text" ref=${box} tabindex="0" role="group" aria-label=${label} onKeyDown=${onKey}
      onMouseOver=${(event) => { const index = indexOf(event); if (index !== undefined && !open?.isPinned) show(index, false); }}
      onMouseLeave=${() => !open?.isPinned && setOpen(null)}
      onClick=${(event) => { const index = indexOf(event); if (index !== undefined) show(index, true); }}>
    ${chunks.map(([first, part]) => html`<${Chunk} key=${first} first=${first} tokens=${part} />`)}
    ${isRunning && html`<span class="caret" aria-hidden="true"></span>`}
    ${token && html`<div class="alternatives" role="dialog" aria-label=${t("tokens.title", { text: token.text })}
        style=${{ left: `${open.left}px`, top: `${open.top}px` }} onClick=${(event) => event.stopPropagation()}
        onKeyDown=${(event) => { event.stopPropagation(); if (event.key === "Escape") close(); }}>
      <p class="help">${t("tokens.title", { text: visible(token.text) })} · ${percent(token.logprob)}</p>
      <ul>${token.top.map((entry) => html`<li key=${entry.text}>
        <meter min="0" max="1" value=${Math.exp(entry.logprob)} aria-hidden="true"></meter>
        ${mayPick && entry.is_text !== false
          ? html`<button type="button" class="plain" onClick=${() => { close(); onPick(open.index, entry.text); }}>${visible(entry.text)}</button>`
          : html`<span>${visible(entry.text)}</span>`}
        <span class="number">${percent(entry.logprob)}</span></li>`)}</ul>
      ${mayPick && html`<p class="help">${t("tokens.pickHelp")}</p>
        <button type="button" class="plain" onClick=${() => { close(); onPick(open.index, token.text); }}>${t("tokens.fromHere")}</button>`}
      ${open.isPinned && html`<button type="button" class="plain" onClick=${() => close()}>${t("common.close")}</button>`}
    </div>`}
  </div>`;
}
