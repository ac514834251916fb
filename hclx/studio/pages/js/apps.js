// Addresses of apps, and what their keys may do in a day.
import { addressOf } from "./api.js";

// From a page below /studio/.
export const appAddress = (slug) => addressOf(`../apps/${encodeURIComponent(slug)}`);
// Behind # the key reaches no log of a server.
export const appLink = (slug, secret) => `${appAddress(slug)}#${secret}`;

// The quota of a day as it is typed: "" or 0 is none; null is no quota.
export function quotaOf(text) {
  if (!text.trim()) return 0;
  const quota = Number(text.replaceAll(",", ""));
  return Number.isInteger(quota) && quota >= 0 && quota <= 1e9 ? quota : null;
}
