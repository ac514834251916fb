// Templates of prompt documents: text with slots such as {name} or {name:을/를}; {{ and }} are braces.

// Returns the parts in order: strings and {field, particle}; null if a brace has no partner.
export function parseTemplate(source) {
  const parts = [], pattern = /\{\{|\}\}|\{([^{}]*)\}|\{|\}/g;
  let end = 0, match;
  const add = (text) => {
    if (!text) return;
    if (typeof parts.at(-1) === "string") parts[parts.length - 1] += text;
    else parts.push(text);
  };
  while ((match = pattern.exec(source))) {
    add(source.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[0] === "{{" || match[0] === "}}") add(match[0][0]);
    else if (match[1] === undefined) return null;
    else {
      const [field, particle = ""] = match[1].split(":");
      parts.push({ field, particle });
    }
  }
  add(source.slice(end));
  return parts;
}

export const escaped = (text) => text.replace(/[{}]/g, (brace) => brace + brace);
export const writeTemplate = (parts) =>
  parts.map((part) => (typeof part === "string" ? escaped(part) : `{${part.field}${part.particle ? `:${part.particle}` : ""}}`)).join("");

// Returns the names of the slots of templates, each once.
export const fieldsOf = (...sources) =>
  [...new Set(sources.flatMap((source) => (parseTemplate(source ?? "") ?? []).filter((part) => part.field).map((part) => part.field)))];

// Splits a template behind its last slot: [what stands before, the text behind it]. Without a slot, all is behind.
export function splitAtLastSlot(source) {
  const parts = parseTemplate(source) ?? [source];
  const last = typeof parts.at(-1) === "string" ? parts.at(-1) : "";
  return [writeTemplate(last ? parts.slice(0, -1) : parts), last];
}

// Puts another name in place of that of a field, in all of its slots.
export function renameField(source, from, to) {
  const parts = parseTemplate(source);
  return parts ? writeTemplate(parts.map((part) => (part.field === from ? { ...part, field: to } : part))) : source;
}
