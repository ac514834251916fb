// The output filter: what it does with what the model writes, and its findings in words.
import { html } from "../html.js";
import { t } from "../words.js";
import { useSession } from "../session.js";
import { Choice } from "./field.js";

const LEVELS = [[null, "filterShow"], [0, "filterWorst"], [1, "filterStrict"]];

// The name of a category for people; that of a filter of one's own is told as it is.
export function categoryName(name) {
  const key = `knobs.category_${name}`, text = t(key);
  return text === key ? name : text;
}

export const levelName = (level) => t(`knobs.filterLevel_${level}`);

// How strict a prompt is, which may be more than the server, and never less.
export function FilterChoice({ value, onChange }) {
  const { filter } = useSession();
  if (!filter) return null;
  const rank = (level) => LEVELS.findIndex(([other]) => other === (level ?? null)), least = rank(filter.block);
  const options = LEVELS.slice(least).map(([level, name]) => [level, t(`knobs.${name}`)]);
  const categories = filter.categories.map((category) => categoryName(category.name ?? category)).join(", ");
  return html`<${Choice} label=${t("knobs.filter")} value=${LEVELS[Math.max(rank(value), least)][0]} options=${options} onChange=${onChange} />
    <p class="help">${t("knobs.filterHelp", { categories })} ${least > 0 ? t("knobs.filterLeast") : ""}</p>`;
}
