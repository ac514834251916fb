// Why a job was refused or has failed, in plain words; the server's own words are for those who mend it.
import { t } from "../words.js";

const REASONS = [
  [/memory did not suffice|was killed|RESOURCE_EXHAUSTED|out of memory/i, "memory"],
  [/longer than|tokens long|too_long|no room for/i, "long"],
  [/is no choice|no example of the choice/i, "choice"],
  [/has no '|has no field|no row to learn/i, "row"],
  [/^prompt: /, "document"],
  [/No space left|disk/i, "disk"],
  [/data set .* was removed|is not in the --tuning_dir/i, "gone"],
  [/its server was gone|server has ended|process was ended/i, "server"],
  [/loss .*(nan|not finite)|not finite|spike/i, "diverged"],
];
const CODES = { name_taken: "name", rate_limit_exceeded: "many", offline: null };

// code: that of an ApiError, if there is one.
export function plainError(message, code) {
  if (code in CODES) return CODES[code] ? t(`tune.why_${CODES[code]}`) : message;
  const reason = REASONS.find(([pattern]) => pattern.test(message))?.[1];
  return t(`tune.why_${reason ?? "other"}`);
}
