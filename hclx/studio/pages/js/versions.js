// The saved versions of a prompt, and the draft as if it were the newest.
import { useEffect, useState } from "./html.js";
import { api, whenBack } from "./api.js";
import { withoutBlankExamples } from "./content.js";
import { isSame } from "./diff.js";
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

const COMPARED = 12; // newest versions that the draft is compared with

// Returns the number of a version that is as the draft is now; null if none of the newest ones is.
export function useKept(draft, versions) {
  const [known, setKnown] = useState([]);
  useEffect(() => {
    if (versions) Promise.all(versions.slice(0, COMPARED).map(({ number }) => loadVersion(draft.id, number))).then(setKnown, () => {});
  }, [versions]);
  return known.find((version) => isSame(version, draft))?.number ?? null;
}

// Saves the draft as a version; returns its number.
export async function saveVersion(draft, note) {
  draft.change(withoutBlankExamples); // nobody means them
  const revision = await draft.saved();
  return (await api.post(`api/prompts/${draft.id}/versions`, { note, revision })).number;
}
