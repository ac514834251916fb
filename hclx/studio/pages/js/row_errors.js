// Why a row has failed or waits, in plain words; where there are none, those of the server.
import { t } from "./words.js";

const REASONS = {
  context_length_exceeded: "long", rate_limit_exceeded: "quota", not_found: "gone", forbidden: "forbidden", invalid_api_key: "forbidden",
  shutting_down: "server", store_unavailable: "server", engine_failed: "server", upstream_failed: "server", overloaded: "server", internal_error: "server",
};

// error: with the code and message of the server.
export const plainError = ({ code, message }) => (REASONS[code] ? t(`test.why_${REASONS[code]}`) : message);
