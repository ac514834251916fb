// Which prompts and apps ask for a model.
import { api } from "../api.js";

const AT_ONCE = 6;

// Calls a function with each value, a few at a time, and returns what it has returned, in order.
async function each(values, call) {
  const results = [];
  for (let first = 0; first < values.length; first += AT_ONCE) results.push(...(await Promise.all(values.slice(first, first + AT_ONCE).map(call))));
  return results;
}

// Returns the titles of those that use a model, as far as one may see them.
export async function usersOf(model) {
  const [{ data: prompts }, { data: apps }] = await Promise.all([api.get("api/prompts"), api.get("api/apps").catch(() => ({ data: [] }))]);
  const uses = (path) => api.get(path).then(({ content }) => content.model === model, () => false);
  const byPrompts = await each(prompts, ({ id }) => uses(`api/prompts/${id}`));
  const byApps = await each(apps, ({ prompt, number }) => uses(`api/prompts/${prompt}/versions/${number}`));
  return [...prompts.filter((_, index) => byPrompts[index]), ...apps.filter((_, index) => byApps[index])].map(({ title }) => title);
}
