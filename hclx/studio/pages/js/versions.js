// The saved versions of a prompt, and the draft as if it were the newest.
import { api, whenBack } from "./api.js";
import { useLoaded } from "./parts/page.js";

export const DRAFT = 0; // stands for the draft among the numbers of versions

const whole = new Map(); // versions never change: by address
export async function loadVersion(id, number) {
  const path = `api/prompts/${id}/versions/${number}`;
  if (!whole.has(path)) whole.set(path, await whenBack(() => api.get(path)));
  return whole.get(path);
}

// Loads the heads of all versions, from the newest on; `n_saved` changes when another was saved.
export function useVersions(id, n_saved) {
  return useLoaded(async () => {
    const { versions } = await whenBack(() => api.get(`api/prompts/${id}`));
    return [...versions].sort((a, b) => b.number - a.number);
  }, [id, n_saved]);
}

// Saves the draft as a version; returns its number.
export async function saveVersion(draft, note) {
  const revision = await draft.saved();
  return (await api.post(`api/prompts/${draft.id}/versions`, { note, revision })).number;
}
